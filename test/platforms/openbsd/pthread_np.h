/* SPDX-License-Identifier: ISC
 *
 * pthread_np.h: how FreeBSD and OpenBSD name a thread.
 */
#include <pthread.h>
void pthread_set_name_np(pthread_t thread, const char *name);
