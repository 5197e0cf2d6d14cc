/* SPDX-License-Identifier: ISC
 *
 * lua_mailbox.c: a Lua state's main, and what was told to it.
 *
 * The state's record lives in the registry from the first `require` (or from its
 * making, in a pool thread) to lua_close, whose finaliser closes the main. The main
 * is opened by the first thing that needs it.
 */
#include "lua_core.h"

#include <stdlib.h>

typedef struct {
    wl_main   *main;
    wl_worker *worker;
} state;

static _Atomic uint64_t n_mains;

static char key; /* its address names the record in the registry */

static state *state_of(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &key);
    state *s = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return s;
}

wl_worker *wl_worker_of(lua_State *L) { return state_of(L)->worker; }

/* ---- open and close -------------------------------------------------------- */

void wl_main_ref(wl_main *m) { atomic_fetch_add(&m->refs, 1); }

void wl_main_unref(wl_main *m)
{
    if (atomic_fetch_sub(&m->refs, 1) == 1)
        free(m);
}

static wl_main *main_open(lua_State *L)
{
    wl_main *m = calloc(1, sizeof *m);
    int      rc = m ? weir_main_open(&m->weir) : WEIR_ENOMEM;
    if (rc != 0) {
        free(m);
        luaL_error(L, "weir: %s", wl_word(rc));
    }
    atomic_init(&m->refs, 1);
    m->number = atomic_fetch_add(&n_mains, 1);
    m->last_job = &m->jobs;
    m->last_call = &m->calls;
    return m;
}

wl_main *wl_main_look(lua_State *L) { return state_of(L)->main; }

wl_main *wl_main_get(lua_State *L)
{
    state *s = state_of(L);
    if (!s->main)
        s->main = main_open(L);
    return s->main;
}

static void drop_told(wl_main *m)
{
    wl_job *j;
    while ((j = m->jobs)) {
        m->jobs = j->next;
        wl_job_unref(j);
    }
    wl_calls_drop(m);
}

/* Elsewhere than on its thread a main cannot be closed: then it stays, unread. */
static void main_close(wl_main *m)
{
    atomic_store(&m->closed, true);
    drop_told(m);
    if (weir_main_close(m->weir, WEIR_DETACH) == 0)
        m->weir = NULL;
    wl_main_unref(m);
}

void wl_main_end(lua_State *L)
{
    state   *s = state_of(L);
    wl_main *m = s->main;
    s->main = NULL;
    if (m)
        main_close(m);
}

/* record -> */
static int state_gc(lua_State *L)
{
    state *s = lua_touserdata(L, 1);
    if (s->main)
        main_close(s->main);
    s->main = NULL;
    return 0;
}

void wl_state_open(lua_State *L, wl_worker *w)
{
    if (state_of(L))
        return;
    state *s = lua_newuserdata(L, sizeof *s);
    *s = (state){.worker = w};
    lua_newtable(L);
    wl_method(L, "__gc", state_gc);
    lua_setmetatable(L, -2);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &key);
}

/* ---- what was told --------------------------------------------------------- */

/* Takes a reference of j. */
void wl_main_tell(wl_main *m, wl_job *j)
{
    j->next = NULL;
    *m->last_job = j;
    m->last_job = &j->next;
}

static wl_job *pop_job(wl_main *m)
{
    wl_job *j = m->jobs;
    if (!(m->jobs = j->next))
        m->last_job = &m->jobs;
    return j;
}

/* What can throw comes before anything is taken off a list: a finaliser that runs in
 * between may take it first.
 *
 * -> nothing | key, of what is settled | call, "call" | future, "failed" */
static int told(lua_State *L)
{
    wl_main *m = wl_main_look(L);
    if (!m || (!m->calls && !m->jobs))
        return 0;
    if (m->calls) {
        lua_pushliteral(L, "call");
        wl_call_slot(L);
        bool filled = wl_call_fill(L, m);
        lua_insert(L, -2);
        return filled ? 2 : 0;
    }
    if (m->jobs->has_future) {
        wl_job *j = pop_job(m);
        lua_pushlightuserdata(L, j);
        wl_job_unref(j); /* the key is only compared */
        return 1;
    }
    lua_pushliteral(L, "failed");
    wl_job **slot = wl_job_slot(L);
    lua_insert(L, -2);
    if (!m->jobs)
        return 0;
    *slot = pop_job(m);
    (*slot)->has_future = true;
    return 2;
}

/* ---- dispatch -------------------------------------------------------------- */

/* [max] -> how many were delivered */
static int dispatch(lua_State *L)
{
    int      max = (int)luaL_optinteger(L, 1, 0);
    wl_main *m = wl_main_look(L);
    lua_pushinteger(L, m ? weir_main_dispatch(m->weir, max) : 0);
    return 1;
}

/* [seconds [, future]] -> how many were delivered, or nil and why it would wait for ever.
 * With the future that is waited for, a worker tells its pool that it blocks. */
static int wait(lua_State *L)
{
    lua_Number seconds = luaL_optnumber(L, 1, -1);
    wl_job    *j = lua_isnoneornil(L, 2) ? NULL : wl_job_check(L, 2);
    wl_main   *m = wl_main_get(L);
    wl_worker *w = wl_worker_of(L);
    wl_waiter  waiter;
    if (w && j && seconds < 0 && !wl_pool_begin_wait(w->pool, &waiter, j)) {
        unsigned most = atomic_load(&w->pool->most);
        lua_pushnil(L);
        lua_pushfstring(L, "would deadlock: pool '%s', %d of %d threads wait", w->pool->name,
                        (int)most, (int)most);
        return 2;
    }
    int n = weir_main_wait(m->weir, seconds < 0 ? -1 : wl_nanoseconds(seconds));
    if (w && j && seconds < 0)
        wl_pool_end_wait(w->pool, &waiter);
    lua_pushinteger(L, n);
    return 1;
}

/* -> how much is still to come that somebody may wait for */
static int pending(lua_State *L)
{
    wl_main *m = wl_main_look(L);
    lua_pushinteger(L, m ? (lua_Integer)weir_main_pending(m->weir) - (lua_Integer)m->cancelled : 0);
    return 1;
}

/* -> descriptor; readable while something waits for dispatch */
static int fd(lua_State *L)
{
    lua_pushinteger(L, weir_main_fd(wl_main_get(L)->weir));
    return 1;
}

/* -> this mailbox's number, of all that there ever were; nil when none is open */
static int mail(lua_State *L)
{
    wl_main *m = wl_main_look(L);
    if (!m)
        return 0;
    lua_pushnumber(L, (lua_Number)m->number);
    return 1;
}

/* [boolean] -> whether a loop watches this mailbox; sets it first, when it is given */
static int held(lua_State *L)
{
    wl_main *m = wl_main_look(L);
    if (m && !lua_isnone(L, 1))
        m->held = lua_toboolean(L, 1);
    lua_pushboolean(L, m && m->held);
    return 1;
}

/* boolean -> ; whether every settled job is told, watched or not */
static int tell_all(lua_State *L)
{
    wl_main_get(L)->tell_all = lua_toboolean(L, 1);
    return 0;
}

/* module -> module */
void wl_main_register(lua_State *L)
{
    wl_method(L, "told", told);
    wl_method(L, "dispatch", dispatch);
    wl_method(L, "wait", wait);
    wl_method(L, "pending", pending);
    wl_method(L, "fd", fd);
    wl_method(L, "mail", mail);
    wl_method(L, "held", held);
    wl_method(L, "tell_all", tell_all);
}
