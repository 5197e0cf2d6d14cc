/* SPDX-License-Identifier: ISC
 *
 * script.h: scripts, and text of others'.
 */
#pragma once

#include <stdbool.h>
#include <lua.h>

#pragma GCC visibility push(hidden)

/* -> function; may raise. The name stands in errors. Takes fd; one below 0: errno says why. */
void wl_script_load(lua_State *L, int fd, const char *name, bool text_only);

/* As lua_load's status, with a function or a message pushed; never bytecode. See
 * lus/script.c. */
int wl_text_load(lua_State *L, const char *name);              /* text -> function or message */
int wl_text_load_file(lua_State *L, int fd, const char *path); /* takes fd, as above */

#pragma GCC visibility pop
