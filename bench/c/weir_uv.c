/* SPDX-License-Identifier: ISC
 *
 * weir_uv.c: the program of libuv.c, whose uv_queue_work is weir_uv.h's.
 */
#include <weir_uv.h>

#define ON_WEIR
#include "libuv.c"
