/* SPDX-License-Identifier: ISC
 *
 * checks.h: what guarded functions ask, for the rooms that have them.
 */
#pragma once

#include "lus/guard.h"

#pragma GCC visibility push(hidden)

void wl_streams_prepare(lua_State *L); /* before a guard stands in the state */
void wl_files_prepare(lua_State *L);   /* the same */

/* As wl_path_open, with the rights of the state; raises in place of WL_PATH_DENIED. */
int wl_open_judged(lua_State *L, const char *function, unsigned rights, const char *path,
                   int flags);

wl_check_fn wl_opens, wl_sets_input, wl_sets_output, wl_reads_lines, wl_removes, wl_renames;
wl_check_fn wl_loads, wl_loads_file, wl_runs_file;
wl_check_fn wl_requires, wl_searches, wl_searches_not, wl_looks_for_file;
wl_check_fn wl_needs_stdio, wl_uses_file, wl_uses_input, wl_uses_output, wl_closes;

#pragma GCC visibility pop
