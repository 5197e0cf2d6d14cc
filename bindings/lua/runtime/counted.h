/* SPDX-License-Identifier: ISC
 *
 * counted.h: what handles in any number of states stand for: it is counted, and goes with
 * the last reference.
 */
#pragma once

#include <stdatomic.h>

#include "runtime/state.h"

#pragma GCC visibility push(hidden)

typedef struct {
    const char *name;            /* of its handles' class: the string itself, as for wl_class */
    void (*free)(void *counted); /* the last reference is gone */
} wl_counted_class;

/* First in the struct. */
typedef struct {
    _Atomic unsigned refs; /* handles, in states and in messages, and others */
    const wl_counted_class *class;
} wl_counted;

void **wl_counted_slot(lua_State *L, const wl_counted_class *class); /* -> handle of nothing */
/* Into a handle of nothing: zeroed, with one reference, the handle's. May raise. */
void *wl_counted_make(lua_State *L, void *slot, const wl_counted_class *class, size_t size);
void *wl_counted_ref(void *counted);
void  wl_counted_unref(void *counted); /* NULL is allowed */
int   wl_counted_gc(lua_State *L);     /* handle -> ; gives back its reference */
/* module -> module; the handles cross, and gc is their __gc */
void wl_counted_register(lua_State *L, const wl_counted_class *class, const char *field,
                         lua_CFunction gc);

#pragma GCC visibility pop
