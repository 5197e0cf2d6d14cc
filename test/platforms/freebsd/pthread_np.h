/* SPDX-License-Identifier: ISC
 *
 * pthread_np.h: how FreeBSD names a thread, and joins one with a limit.
 */
#include <pthread.h>
void pthread_set_name_np(pthread_t thread, const char *name);
int  pthread_timedjoin_np(pthread_t thread, void **value, const struct timespec *until);
