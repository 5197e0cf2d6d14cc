/* SPDX-License-Identifier: ISC
 *
 * pthread.h of macOS: a thread names itself alone, and waits relatively, for want of a clock.
 */
#ifndef PLATFORM_PTHREAD_H
#define PLATFORM_PTHREAD_H
#define pthread_setname_np linux_pthread_setname_np
#include_next <pthread.h>
#undef pthread_setname_np
int pthread_setname_np(const char *name);
int pthread_cond_timedwait_relative_np(pthread_cond_t *cond, pthread_mutex_t *lock,
                                       const struct timespec *most);
#define pthread_condattr_setclock macos_has_no_condattr_setclock
#define pthread_timedjoin_np linux_has_pthread_timedjoin_np
#define pthread_clockjoin_np linux_has_pthread_clockjoin_np
#define pthread_attr_setaffinity_np linux_has_pthread_attr_setaffinity_np
#endif
