/* SPDX-License-Identifier: ISC
 *
 * sched.h without sets of CPUs.
 */
#include_next <sched.h>
#undef CPU_ZERO
#undef CPU_SET
#undef CPU_COUNT
#undef CPU_SETSIZE
#define sched_getaffinity linux_has_sched_getaffinity
#define sched_setaffinity linux_has_sched_setaffinity
