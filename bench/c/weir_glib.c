/* SPDX-License-Identifier: ISC
 *
 * weir_glib.c: the program of gtask.c, whose g_task_run_in_thread is weir_glib.h's.
 */
#include <weir_glib.h>

#include "weir_pool.h"

#define ON_WEIR
#define g_task_run_in_thread(task, fn) weir_g_task_run(task, pool, fn)
#include "gtask.c"
