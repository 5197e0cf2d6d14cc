/* SPDX-License-Identifier: ISC
 *
 * error.h: errors as text, with a traceback, and as a message.
 */
#pragma once

#include "runtime/util.h"
#include "codec/codec.h"

#pragma GCC visibility push(hidden)

void        wl_error_prepare(lua_State *L);                        /* in a new state */
void        wl_push_text(lua_State *L, int index);                 /* -> text of the value there */
int         wl_note_failure(lua_State *L);                         /* a message handler */
wl_message *wl_pack_error(lua_State *L, wl_metatables metatables); /* error -> ... */
const char *wl_word(int code);                                     /* of the core */
int         wl_push_refusal(lua_State *L, int code);               /* -> nil, word; returns 2 */
int         wl_push_outcome(lua_State *L, int code);               /* the same, or -> true */

#pragma GCC visibility pop
