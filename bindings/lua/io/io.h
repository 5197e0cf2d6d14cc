/* SPDX-License-Identifier: ISC
 *
 * io.h: commands, streams, signals and files.
 */
#pragma once

#include <stdio.h>

#include "runtime/state.h"

#pragma GCC visibility push(hidden)

void  wl_command_register(lua_State *L); /* in a new state of ours, like the next */
void  wl_stream_register(lua_State *L);
FILE *wl_stream_wrap(FILE *below, const char *mode); /* owns below; or is below */

void wl_keep_sigpipe_register(lua_State *L); /* module -> module, like the next */
void wl_signal_register(lua_State *L);
void wl_append_register(lua_State *L);
void wl_await_input_register(lua_State *L);

#pragma GCC visibility pop
