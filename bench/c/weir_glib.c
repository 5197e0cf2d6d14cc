/* SPDX-License-Identifier: ISC
 *
 * weir_glib.c: the program of gtask.c, whose g_task_run_in_thread is weir_glib.h's.
 */
#include <weir_glib.h>

#define ON_WEIR
#include "gtask.c"
