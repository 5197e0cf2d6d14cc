/* SPDX-License-Identifier: ISC
 *
 * pthread.h: names are set by pthread_np.h.
 */
#ifndef PLATFORM_PTHREAD_H
#define PLATFORM_PTHREAD_H
#include_next <pthread.h>
#define pthread_setname_np linux_has_pthread_setname_np
#define pthread_timedjoin_np linux_has_pthread_timedjoin_np
#define pthread_clockjoin_np linux_has_pthread_clockjoin_np
#define pthread_attr_setaffinity_np linux_has_pthread_attr_setaffinity_np
#endif
