/* SPDX-License-Identifier: ISC
 *
 * pool.c: what a pool is to those who use it: its references, its handles, and why an
 * init of its failed.
 *
 * A wl_pool has uses (handles, in however many states, and unsettled jobs) and
 * refs. The last use closes the pool without waiting; `gone` then comes on its last
 * thread, and the last ref frees.
 */
#include "runtime/pool.h"
#include "runtime/locks.h"

#include <stddef.h>
#include <stdlib.h>

/* ---- why an init failed ------------------------------------------------------ */

void wl_reason_unref(wl_reason *r)
{
    if (!r || atomic_fetch_sub(&r->refs, 1) != 1)
        return;
    wl_message_free(r->value);
    free(r);
}

void wl_pool_init_failed(wl_pool *p, wl_message *m)
{
    wl_reason *r = m ? malloc(sizeof *r) : NULL, *other = r;
    if (!r)
        wl_message_free(m);
    else
        *r = (wl_reason){1, m};
    wl_lock(p);
    if (p->lazy || p->opened || !p->init_error) {
        other = p->init_error;
        p->init_error = r;
    }
    wl_unlock(p);
    wl_reason_unref(other);
}

wl_reason *wl_pool_init_error(wl_pool *p)
{
    wl_lock(p);
    wl_reason *r = p->init_error;
    if (r)
        atomic_fetch_add(&r->refs, 1);
    wl_unlock(p);
    return r;
}

/* ---- references ------------------------------------------------------------ */

void wl_pool_ref(wl_pool *p) { atomic_fetch_add(&p->refs, 1); }

void wl_pool_tell_exit_error(wl_pool *p)
{
    char *text = atomic_exchange(&p->exit_text, NULL);
    if (text)
        fprintf(stderr, "weir: at_exit of pool '%s' failed and nobody asked: %s\n", p->name, text);
    free(text);
}

void wl_pool_unref(wl_pool *p)
{
    if (atomic_fetch_sub(&p->refs, 1) != 1)
        return;
    wl_pool_tell_exit_error(p);
    wl_message_free(p->package);
    wl_message_free(p->setup);
    wl_reason_unref(p->init_error);
    wl_message_free(atomic_load(&p->exit_error));
    free(p->name);
    free(p);
}

static void gone(weir_notice *notice, int outcome)
{
    (void)outcome;
    wl_pool_unref((wl_pool *)(void *)((char *)notice - offsetof(wl_pool, gone)));
}

/* Nobody uses it any more. */
static void let_go(void *pool)
{
    wl_pool   *p = pool;
    weir_pool *weir = p->weir;
    if (!weir) { /* was never opened */
        wl_pool_unref(p);
        return;
    }
    p->gone.fn = gone;
    weir_close_async(weir, WEIR_CLOSE, NULL, &p->gone);
    weir_pool_release(weir); /* p may be gone by now */
}

static const wl_counted_class class = {wl_pool_class, let_go};

void wl_pool_use(wl_pool *p) { wl_counted_ref(p); }
void wl_pool_unuse(wl_pool *p) { wl_counted_unref(p); }

/* ---- handles --------------------------------------------------------------- */

wl_pool *wl_pool_make(lua_State *L)
{
    wl_pool *p = wl_counted_make(L, wl_counted_slot(L, &class), &class, sizeof *p);
    atomic_init(&p->refs, 1);
    return p;
}

/* A finaliser may come to one that was collected with it. */
wl_pool *wl_pool_check(lua_State *L, int index)
{
    wl_pool *p = *(wl_pool **)wl_check(L, index, wl_pool_class);
    if (!p)
        luaL_error(L, "weir: the pool was collected");
    return p;
}

bool wl_pool_is(lua_State *L, int index) { return wl_test(L, index, wl_pool_class) != NULL; }

void wl_pool_class_make(lua_State *L) { wl_counted_register(L, &class, "pool", wl_counted_gc); }
