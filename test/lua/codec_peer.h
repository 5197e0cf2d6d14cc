/* SPDX-License-Identifier: ISC
 *
 * codec_peer.h: what the module of codec_peer.c has from codec_handle.c.
 */
#pragma once

#include <lua.h>

int peer_handle(lua_State *L);
int peer_handles(lua_State *L);
int peer_light(lua_State *L);
int peer_nameless(lua_State *L);
