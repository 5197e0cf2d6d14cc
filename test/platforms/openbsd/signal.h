/* SPDX-License-Identifier: ISC
 *
 * signal.h without signals of real time.
 */
#include_next <signal.h>
#undef SIGRTMIN
#undef SIGRTMAX
