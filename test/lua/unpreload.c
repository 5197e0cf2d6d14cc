/* SPDX-License-Identifier: ISC
 *
 * unpreload.c: preloaded beside a sanitizer, keeps it to this process: the commands
 * that tests run are not made for it.
 *
 * Debian's Lua raises errors by __longjmp_chk, which ThreadSanitizer does not know: it
 * took each function of ours that was left so for one that still runs, and kept a longer
 * stack with every allocation, until memory was full.
 */
#include <setjmp.h>
#include <stdlib.h>

__attribute__((constructor)) static void forget(void) { unsetenv("LD_PRELOAD"); }

_Noreturn void __longjmp_chk(jmp_buf place, int value);
_Noreturn void __longjmp_chk(jmp_buf place, int value) { longjmp(place, value); }
