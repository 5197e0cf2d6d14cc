/* SPDX-License-Identifier: ISC
 *
 * weir_uv.c: the program of libuv.c, whose uv_queue_work is weir_uv.h's.
 */
#include <weir_uv.h>

#include "weir_pool.h"

#define ON_WEIR
#define uv_queue_work(loop, req, work, after) weir_uv_queue_work(pool, loop, req, work, after)
#include "libuv.c"
