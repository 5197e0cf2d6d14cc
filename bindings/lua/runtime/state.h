/* SPDX-License-Identifier: ISC
 *
 * state.h: what the binding keeps of a Lua state: its record, and what its functions find.
 */
#pragma once

#include "runtime/util.h"

#pragma GCC visibility push(hidden)

typedef struct wl_main   wl_main;
typedef struct wl_thread wl_thread;
typedef struct wl_state  wl_state;

enum { WL_MOST_ON_END = 2 };

/* In the registry, from the first `require` (or from its making, in a pool thread) to
 * lua_close. */
struct wl_state {
    wl_main   *main; /* NULL until needed */
    wl_thread *thread;
    bool       over; /* being closed, while finalisers of the user's may still come */
    /* Keys: whoever waits for a job is found by a small number, for Lua finds those
     * fastest. One more than the main before had given out, until it is told. */
    uint32_t *free_keys, n_free_keys, n_keys, max_keys;
    uint64_t  keys_before;
    struct {
        void (*fn)(void *arg);
        void *arg;
    } on_end[WL_MOST_ON_END]; /* the last one first, on the state's thread */
    lua_Hook hook;            /* seen by the last wait; see runtime/interrupt.c */
    bool     restricted;      /* it has given up rights: no pools, no calls into others */
    bool     spares; /* where it waits a spare thread should start: its thread is others', too */
};

void       wl_state_open(lua_State *L, wl_thread *w); /* once per state, before all else */
void       wl_state_push(lua_State *L);               /* -> the record, or nil */
wl_state  *wl_state_of(lua_State *L);                 /* the same; NULL: none */
void       wl_state_on_end(wl_state *s, void (*fn)(void *), void *arg); /* once counts */
wl_thread *wl_thread_of(lua_State *L); /* NULL in a state that is no pool thread's */

uint32_t wl_key_take(lua_State *L, wl_state *s);                     /* may throw */
void     wl_key_push(lua_State *L, const wl_state *s, uint32_t key); /* -> number, 0 for none */
void     wl_key_give(wl_state *s, uint32_t key);
void     wl_keys_forget(wl_state *s); /* its main has closed */

/* A future whose value is kept in it is of another class, which has no finalizer. */
extern const char wl_future_class[], wl_kept_class[], wl_pool_class[];

/* The function's upvalues are those below. table -> table */
void wl_method(lua_State *L, const char *name, lua_CFunction fn);
void wl_class(lua_State *L, const char *type, const char *name, lua_CFunction gc); /* or NULL */

/* What every call asks for; in the registry it would be searched. */
enum { WL_THIS_STATE = 1, WL_FUTURE, WL_KEPT, WL_POOL, WL_UPVALUES = WL_POOL };

static inline wl_state *wl_this(lua_State *L)
{
    return lua_touserdata(L, lua_upvalueindex(WL_THIS_STATE));
}

void wl_need_all(lua_State *L, const char *function); /* raises in a restricted state */

static inline void wl_need_unrestricted(lua_State *L, const char *function)
{
    if (wl_this(L)->restricted)
        wl_need_all(L, function);
}

/* NULL when the value is not of that class, WL_FUTURE or WL_POOL. */
static inline void *wl_is(lua_State *L, int index, int class)
{
    void *u = lua_touserdata(L, index);
    if (!u || !lua_getmetatable(L, index))
        return NULL;
    bool same = lua_rawequal(L, -1, lua_upvalueindex(class)) ||
                (class == WL_FUTURE && lua_rawequal(L, -1, lua_upvalueindex(WL_KEPT)));
    lua_pop(L, 1);
    return same ? u : NULL;
}

#pragma GCC visibility pop
