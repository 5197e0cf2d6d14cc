/* SPDX-License-Identifier: ISC
 *
 * codec.h: values cross from one Lua state to another by copy, as a message.
 *
 * What crosses: nil, booleans, numbers (integer and float stay what they are),
 * strings, tables to any depth with their cycles and shared references, Lua
 * functions with their upvalues, light userdata, and handles (below). A table,
 * function or userdata found in package.loaded crosses as its module's name and
 * its path in there, and is required on the other side; so does a table given to
 * weir.register, by its name. The globals become the other side's. Everything else
 * is refused with an error that names its place: "argument 2.conn: userdata ...".
 *
 * A message belongs to nobody's state: any thread may read or free it, also
 * several at once, after the states that it came from and went to are closed.
 * It is good for this process and for states of one version of Lua.
 */
#pragma once

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

#pragma GCC visibility push(hidden)

typedef struct wl_message wl_message;

/* What becomes of a metatable that is neither registered nor found in a module. */
typedef enum { WL_REFUSE = 0, WL_COPY, WL_DROP } wl_metatables;

/* Zero-filled means the defaults. */
typedef struct {
    const char   *what;   /* starts the path in errors; NULL: "argument" */
    int           number; /* of the first value, in the path; 0: values have no number */
    wl_metatables metatables;
    bool          data;       /* only data: no function, userdata or handle, nothing by name */
    bool          restricted; /* from a state that has given up rights: no function's code, and the
                                 reader loads no module for it */
    bool strip;               /* functions lose names and lines, where the version can */
} wl_pack_options;

/* Copies the n values at stack index first into a new message. The values stay.
 * 0, or a status as lua_pcall's with an error pushed: a string, but for what a
 * finalizer of the user's raised. options may be NULL.
 * The state's thread; may run finalizers, as every allocation. Nothing is held
 * when a Lua error leaves it, which only the first few allocations can raise.
 * Partner: wl_message_free. */
int wl_pack(lua_State *L, int first, int n, const wl_pack_options *options, wl_message **out);

/* The same into the memory of *used, an emptied message or NULL, which is taken: *used is
 * NULL afterwards, unless a Lua error leaves it. */
int wl_pack_into(lua_State *L, int first, int n, const wl_pack_options *options, wl_message **used,
                 wl_message **out);

/* Pushes the message's values and returns how many; or pushes an error and returns
 * -1. May run Lua code: what modules run when they are required. Nothing is held
 * when a Lua error leaves it, which only the first few allocations can raise.
 * The state's thread; m is only read. */
int wl_unpack(lua_State *L, const wl_message *m);

/* The same, for a caller that holds nothing, so that an error of memory may leave it: a
 * message of few plain values then needs no protected call. */
int wl_unpack_plainly(lua_State *L, const wl_message *m);

/* What m takes, bytecode not counted. Any thread. */
size_t wl_message_size(const wl_message *m);

/* NULL is allowed. Any thread, no state needed. */
void wl_message_free(wl_message *m);

/* Lets go of what m holds: what is left is for wl_pack_into. NULL when m was too large
 * to be kept, and is freed. As wl_message_free otherwise. */
wl_message *wl_message_empty(wl_message *m);

/* weir.register. name, metatable -> nothing; raises on bad arguments and when
 * either is registered already with another partner. */
int wl_register(lua_State *L);

/* ---- other globals for a while, see codec/globals.c: all on the state's thread ---- */

/* table -> ; it stands in the place of the state's globals, for what is loaded and
 * unpacked from now on, until wl_globals_go_home. May raise the first time. */
void wl_globals_use(lua_State *L);
void wl_globals_go_home(lua_State *L); /* -> ; raises nothing with 3 slots of stack */
bool wl_globals_are_home(lua_State *L);
void wl_globals_push_home(lua_State *L); /* -> the state's own */
void wl_globals_push_new(lua_State *L);  /* -> table that reads through to them; may raise */

/* ---- handles: userdata that cross because what they point to is counted ---- */

typedef struct {
    /* From the userdata's memory to what it points to, with one more reference;
     * NULL refuses (a handle that was given back). Raises nothing. */
    void *(*retain)(void *userdata);
    /* One reference less; any thread, no state. */
    void (*release)(void *target);
    /* -> userdata with one more reference of its own. May raise; holds nothing then. */
    void (*push)(lua_State *L, void *target);
} wl_handle_type;

/* Makes userdata with the metatable at index cross as handles of `type`, a static
 * struct. May raise. */
void wl_handle_metatable(lua_State *L, int index, const wl_handle_type *type);

#pragma GCC visibility pop
