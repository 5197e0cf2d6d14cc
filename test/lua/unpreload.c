/* SPDX-License-Identifier: ISC
 *
 * unpreload.c: preloaded beside a sanitizer, keeps it to this process: the commands
 * that tests run are not made for it.
 */
#include <stdlib.h>

__attribute__((constructor)) static void forget(void) { unsetenv("LD_PRELOAD"); }
