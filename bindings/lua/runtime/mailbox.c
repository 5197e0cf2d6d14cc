/* SPDX-License-Identifier: ISC
 *
 * mailbox.c: what was told to a state's main, and waiting for it: the functions for
 * Lua; and the end of a main.
 */
#include "runtime/mailbox.h"
#include "runtime/call.h"
#include "runtime/cancel.h"
#include "runtime/interrupt.h"
#include "runtime/job.h"
#include "runtime/limit.h"
#include "runtime/main.h"
#include "runtime/state.h"
#include "runtime/stuck.h"
#include "runtime/thread.h"
#include "runtime/util.h"
#include "weir.h"

static wl_ping *pop_ping(wl_main *m)
{
    wl_ping *p = m->pings;
    if (p && !(m->pings = p->next))
        m->last_ping = &m->pings;
    return p;
}

static void drop_jobs(wl_main *m, wl_job **list)
{
    wl_job *j;
    while ((j = *list)) {
        *list = j->next;
        wl_key_give(m->state, j->key);
        j->key = 0;
        wl_job_unref(j);
    }
}

static void drop_told(wl_main *m)
{
    wl_ping *p;
    while ((p = pop_ping(m)))
        p->let_go(p);
    wl_limits_drop(m);
    drop_jobs(m, &m->jobs);
    drop_jobs(m, &m->works);
    wl_calls_drop(m);
    wl_jobs_drop_spare(m);
}

/* Elsewhere than on its thread a main cannot be closed: then it stays, unread. */
static void main_close(wl_main *m)
{
    pthread_mutex_lock(&m->lock);
    atomic_store(&m->closed, true);
    pthread_mutex_unlock(&m->lock);
    drop_told(m);
    wl_mains_here(-1);
    if (weir_main_close(m->weir, WEIR_DETACH) == 0)
        m->weir = NULL;
    wl_main_unref(m);
}

static void end_main(void *state)
{
    wl_state *s = state;
    wl_main  *m = s->main;
    s->main = NULL;
    if (!m)
        return;
    main_close(m);
    wl_keys_forget(s);
}

void wl_main_end(lua_State *L) { end_main(wl_state_of(L)); }

/* ---- what was told --------------------------------------------------------- */

static wl_job *pop(wl_job **list, wl_job ***last)
{
    wl_job *j = *list;
    if (!(*list = j->next))
        *last = list;
    j->listed = false;
    wl_job_gone(j);
    return j;
}

static wl_job *pop_job(wl_main *m) { return pop(&m->jobs, &m->last_job); }

wl_job *wl_main_take_work(wl_main *m, uint32_t *key)
{
    if (!m->works)
        return NULL;
    *key = m->works->key;
    return pop(&m->works, &m->last_work);
}

/* A key that Lua is told is free when it is told the next ones: until then it looks who
 * waits for it, and those whom it wakes submit more.
 *
 * -> key */
static void tell_key(lua_State *L, wl_main *m, uint32_t key)
{
    wl_key_push(L, m->state, key);
    m->told[m->n_told++] = key;
}

static void give_back_told(wl_main *m)
{
    while (m->n_told)
        wl_key_give(m->state, m->told[--m->n_told]);
}

static void tell_settled(lua_State *L, wl_main *m)
{
    wl_job *j = m->jobs;
    tell_key(L, m, j->key);
    j->key = 0;
    wl_job_unref(pop_job(m));
}

/* -> key | ; false: there is none, or something comes first that is none */
static bool tell_next(lua_State *L, wl_main *m)
{
    if (m->pings || m->calls)
        return false;
    if (m->due)
        tell_key(L, m, wl_limit_take(m));
    else if (m->jobs && !wl_job_is_untold(m->jobs))
        tell_settled(L, m);
    else
        return false;
    return true;
}

/* What comes alone is one of these, see weir/mailbox.lua. */
enum { NOTHING, A_CALL, A_FAILURE, A_PING, WORKS };

/* An object is made first, because that may raise, or run a finaliser that is faster. */
static int tell_failure(lua_State *L, wl_main *m)
{
    wl_future *f = wl_future_push(L);
    if (!m->jobs || !wl_job_is_untold(m->jobs))
        return NOTHING;
    f->job = pop_job(m);
    f->job->has_future = true;
    return A_FAILURE;
}

static int tell_call(lua_State *L, wl_main *m)
{
    wl_call_slot(L);
    return wl_call_fill(L, -1, m) ? A_CALL : NOTHING;
}

/* What is only compared. */
static int tell_ping(lua_State *L, wl_main *m)
{
    wl_ping *p = pop_ping(m);
    lua_pushlightuserdata(L, p);
    p->let_go(p);
    return A_PING;
}

static int tell_other(lua_State *L, wl_main *m)
{
    if (m->pings)
        return tell_ping(L, m);
    if (m->works) {
        lua_pushnil(L);
        return WORKS;
    }
    return m->calls ? tell_call(L, m) : tell_failure(L, m);
}

/* The list has room, so no key that is taken gets lost.
 *
 * list -> how many keys it holds now | 0, something else, what it is */
static int tell(lua_State *L, wl_main *m)
{
    int n = 0;
    luaL_checktype(L, 1, LUA_TTABLE);
    give_back_told(m);
    while (n < WL_MOST_TOLD && tell_next(L, m))
        lua_rawseti(L, 1, ++n);
    lua_pushinteger(L, n);
    if (n > 0 || !wl_main_has_told(m))
        return 1;
    lua_pushinteger(L, tell_other(L, m));
    return 3;
}

/* list -> as tell */
static int told(lua_State *L)
{
    wl_main *m = wl_this(L)->main;
    return m ? tell(L, m) : wl_integer(L, 0);
}

/* ---- dispatch -------------------------------------------------------------- */

/* [max] -> how many were delivered */
static int dispatch(lua_State *L)
{
    int      max = (int)luaL_optinteger(L, 1, 0);
    wl_main *m = wl_this(L)->main;
    return wl_integer(L, m ? weir_main_dispatch(m->weir, max) : 0);
}

enum { MOST_NS = 1000000 }; /* of a turn, so that the loop's timers are in time */

static void begin_turn(wl_main *m)
{
    m->turning = true;
    m->turn_ends = wl_now() + MOST_NS;
    m->turn_left = WL_MOST_TOLD;
    wl_main_quieten(m);
}

/* Begins a turn of the only loop that watches, or goes on with it: delivers what is there
 * and tells it in one.
 *
 * list -> as tell | nothing: the turn has taken its share, or nothing is left */
static int turn(lua_State *L)
{
    wl_main *m = wl_this(L)->main;
    int      n = 0;
    if (!m)
        return 0;
    if (!m->turning)
        begin_turn(m);
    if (m->turn_left > 0 && (m->turn_left == WL_MOST_TOLD || wl_now() < m->turn_ends))
        n = weir_main_dispatch(m->weir, m->turn_left);
    m->turn_left -= n;
    if (n > 0 || wl_main_has_told(m))
        return tell(L, m);
    give_back_told(m);
    return 0;
}

/* -> ; the loop is about to poll */
static int turned(lua_State *L)
{
    wl_main *m = wl_this(L)->main;
    if (m) {
        m->turning = false;
        wl_main_quieten(m);
    }
    return 0;
}

/* boolean -> ; whether this thread is about to poll the descriptor itself */
static int polled(lua_State *L)
{
    wl_main *m = wl_this(L)->main;
    if (m)
        wl_main_polled(m, lua_toboolean(L, 1));
    return 0;
}

bool wl_main_sleep(lua_State *L, wl_main *m, int64_t ns, int *n)
{
    wl_thread *w = wl_thread_of(L);
    wl_job    *j = w ? w->job : NULL;
    if (j && !wl_cancel_asleep(j, m, NULL, NULL))
        return false;
    if (wl_main_has_told(m))
        ns = 0;
    *n = w ? weir_main_wait(m->weir, ns) : wl_interrupt_wait(L, m, ns);
    return !j || wl_cancel_awake(j);
}

/* [seconds [, future [, for_space]]] -> how many were delivered, or nil and why it would
 * wait for ever. With the future that is waited for, or with true, for space in its own
 * pool's queue, a pool thread tells its pool that it blocks. */
static int wait(lua_State *L)
{
    lua_Number seconds = luaL_optnumber(L, 1, -1);
    wl_job    *j = lua_isnoneornil(L, 2) ? NULL : wl_job_check(L, 2);
    wl_main   *m = wl_main_of(L, wl_this(L));
    wl_thread *w = wl_this(L)->thread;
    bool       for_space = lua_toboolean(L, 3);
    wl_waiter  waiter;
    bool       counts = w && seconds < 0 && (for_space || (j && !j->limited));
    if (counts && !wl_pool_begin_wait(w->pool, &waiter, for_space ? NULL : j)) {
        unsigned most = atomic_load(&w->pool->most);
        lua_pushnil(L);
        lua_pushfstring(L, "would deadlock: pool '%s', %d of %d threads wait", w->pool->name,
                        (int)most, (int)most);
        return 2;
    }
    /* Ends by itself, so it is no reason for an error. */
    bool timed = w && (j || for_space) && !counts && seconds != 0;
    bool spare =
        timed || (wl_this(L)->spares && (j || for_space)); /* nor does this: other threads end it */
    if (spare)
        weir_blocking_begin();
    int  n = 0;
    bool goes_on = wl_main_sleep(L, m, seconds < 0 ? -1 : wl_nanoseconds(seconds), &n);
    if (spare)
        weir_blocking_end();
    if (counts)
        wl_pool_end_wait(w->pool, &waiter);
    if (!goes_on)
        return luaL_error(L, "cancelled");
    return wl_integer(L, n);
}

/* -> how much is still to come that somebody may wait for */
static int pending(lua_State *L)
{
    wl_main *m = wl_this(L)->main;
    return wl_integer(L,
                      m ? (lua_Integer)weir_main_pending(m->weir) - (lua_Integer)m->cancelled : 0);
}

/* -> descriptor; readable while something waits for dispatch */
static int fd(lua_State *L) { return wl_integer(L, weir_main_fd(wl_main_get(L)->weir)); }

/* -> this mailbox's number, of all that there ever were; nil when none is open */
static int mail(lua_State *L)
{
    wl_main *m = wl_main_look(L);
    return m ? wl_number(L, (lua_Number)m->number) : 0;
}

/* [boolean] -> whether a loop watches this mailbox; sets it first, when it is given */
static int held(lua_State *L)
{
    wl_main *m = wl_this(L)->main;
    if (m && !lua_isnone(L, 1)) {
        m->held = lua_toboolean(L, 1);
        wl_main_quieten(m);
    }
    return wl_boolean(L, m && m->held);
}

/* boolean -> ; whether some wait for space: nobody may overtake them */
static int line_up(lua_State *L)
{
    wl_main_get(L)->lined_up = lua_toboolean(L, 1);
    return 0;
}

/* module -> module */
void wl_main_register(lua_State *L)
{
    wl_state_on_end(wl_state_of(L), end_main, wl_state_of(L));
    lua_createtable(L, WL_MOST_TOLD, 0);
    lua_setfield(L, -2, "list");
    wl_method(L, "told", told);
    wl_method(L, "dispatch", dispatch);
    wl_method(L, "turn", turn);
    wl_method(L, "turned", turned);
    wl_method(L, "polled", polled);
    wl_method(L, "wait", wait);
    wl_method(L, "pending", pending);
    wl_method(L, "fd", fd);
    wl_method(L, "mail", mail);
    wl_method(L, "held", held);
    wl_method(L, "line_up", line_up);
}
