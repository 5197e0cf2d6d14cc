/* SPDX-License-Identifier: ISC
 *
 * lua_mailbox.c: a Lua state's main, and what was told to it.
 *
 * The state's record lives in the registry from the first `require` (or from its
 * making, in a pool thread) to lua_close, whose finaliser closes the main. The main
 * is opened by the first thing that needs it.
 */
#include "lua_actor.h"
#include "lua_rights.h"

#include <stddef.h>
#include <stdlib.h>

static _Atomic uint64_t n_mains;

static char state_key; /* its address names the record in the registry */

static wl_state *state_of(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &state_key);
    wl_state *s = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return s;
}

wl_worker *wl_worker_of(lua_State *L) { return state_of(L)->worker; }
wl_actor  *wl_actor_of(lua_State *L) { return state_of(L)->actor; }
void       wl_state_set_actor(lua_State *L, wl_actor *a) { state_of(L)->actor = a; }
wl_rights *wl_state_rights(lua_State *L) { return state_of(L)->rights; }
wl_rights *wl_state_seal(lua_State *L)
{
    wl_state *s = state_of(L);
    if (s)
        s->sealed = true;
    return s ? s->rights : NULL;
}

void wl_state_set_rights(lua_State *L, wl_rights *r) { state_of(L)->rights = r; }

wl_family **wl_family_slot(lua_State *L)
{
    wl_state *s = state_of(L);
    return s->ended ? NULL : &s->family;
}

void wl_state_push(lua_State *L) { lua_rawgetp(L, LUA_REGISTRYINDEX, &state_key); }

/* ---- keys ------------------------------------------------------------------ */

static bool more_keys(wl_state *s)
{
    uint32_t  n = s->max_keys ? 2 * s->max_keys : 64;
    uint32_t *free_keys = n > s->max_keys ? realloc(s->free_keys, n * sizeof *free_keys) : NULL;
    if (!free_keys)
        return false;
    s->free_keys = free_keys;
    s->max_keys = n;
    return true;
}

/* There is room for all that were made, so that giving back cannot fail. */
uint32_t wl_key_take(lua_State *L, wl_state *s)
{
    if (s->n_free_keys)
        return s->free_keys[--s->n_free_keys];
    if (s->n_keys == s->max_keys && !more_keys(s))
        luaL_error(L, "weir: not enough memory");
    return ++s->n_keys;
}

/* -> number; 0 for none */
void wl_key_push(lua_State *L, const wl_state *s, uint32_t key)
{
    lua_pushinteger(L, key ? (lua_Integer)(s->keys_before + key) : 0);
}

void wl_key_give(wl_state *s, uint32_t key)
{
    if (key)
        s->free_keys[s->n_free_keys++] = key;
}

/* Of a main that has closed: jobs that were not told keep theirs for ever. */
static void forget_keys(wl_state *s)
{
    if (s->n_free_keys == s->n_keys)
        return;
    s->keys_before += s->n_keys;
    s->n_keys = s->n_free_keys = 0;
}

/* ---- open and close -------------------------------------------------------- */

void wl_main_ref(wl_main *m) { atomic_fetch_add(&m->refs, 1); }

void wl_main_unref(wl_main *m)
{
    if (atomic_fetch_sub(&m->refs, 1) != 1)
        return;
    pthread_mutex_destroy(&m->lock);
    free(m);
}

/* Nobody polls the descriptor: no loop watches it, or the only one that does is letting
 * those go on whom it woke, and looks again before it polls. */
static void quieten(wl_main *m)
{
    bool quiet = !m->polled && (!m->held || m->turning);
    if (quiet != m->quiet)
        weir_main_quiet(m->weir, m->quiet = quiet);
}

/* 0, or why none can be had. */
static int main_open(wl_state *s)
{
    wl_main *m = calloc(1, sizeof *m);
    int      rc = m ? weir_main_open(&m->weir) : WEIR_ENOMEM;
    if (rc != 0) {
        free(m);
        return rc;
    }
    atomic_init(&m->refs, 1);
    m->state = s;
    pthread_mutex_init(&m->lock, NULL);
    m->number = atomic_fetch_add(&n_mains, 1);
    m->last_job = &m->jobs;
    m->last_due = &m->due;
    m->last_call = &m->calls;
    m->last_waker = &m->wakers;
    quieten(m);
    s->main = m;
    wl_interrupt_count(1);
    return 0;
}

wl_main *wl_main_look(lua_State *L) { return state_of(L)->main; }

wl_main *wl_main_of(lua_State *L, wl_state *s)
{
    if (s->over)
        luaL_error(L, "weir: this state is being closed");
    int rc = s->main ? 0 : main_open(s);
    if (rc != 0) { /* of no line of ours: it is nobody's mistake */
        lua_pushfstring(L, "weir: %s", wl_word(rc));
        lua_error(L);
    }
    return s->main;
}

int wl_main_open(lua_State *L)
{
    wl_state *s = state_of(L);
    return s->main || s->over ? 0 : main_open(s);
}

wl_main *wl_main_get(lua_State *L) { return wl_main_of(L, state_of(L)); }

static wl_waker *pop_waker(wl_main *m)
{
    wl_waker *k = m->wakers;
    if (k && !(m->wakers = k->next))
        m->last_waker = &m->wakers;
    return k;
}

static void drop_told(wl_main *m)
{
    wl_job   *j;
    wl_waker *k;
    while ((k = pop_waker(m)))
        wl_waker_unref(k);
    wl_watch_drop_due(m);
    while ((j = m->jobs)) {
        m->jobs = j->next;
        wl_key_give(m->state, j->key);
        j->key = 0;
        wl_job_unref(j);
    }
    wl_calls_drop(m);
}

/* Elsewhere than on its thread a main cannot be closed: then it stays, unread. */
static void main_close(wl_main *m)
{
    pthread_mutex_lock(&m->lock);
    atomic_store(&m->closed, true);
    pthread_mutex_unlock(&m->lock);
    drop_told(m);
    wl_interrupt_count(-1);
    if (weir_main_close(m->weir, WEIR_DETACH) == 0)
        m->weir = NULL;
    wl_main_unref(m);
}

void wl_main_end(lua_State *L)
{
    wl_state *s = state_of(L);
    wl_main  *m = s->main;
    s->main = NULL;
    if (!m)
        return;
    main_close(m);
    forget_keys(s);
}

static void end_family(wl_state *s)
{
    s->ended = true;
    wl_family_end(s->family);
    s->family = NULL;
}

void wl_state_end_family(lua_State *L)
{
    if (state_of(L))
        end_family(state_of(L));
}

/* record -> */
static int state_gc(lua_State *L)
{
    wl_state *s = lua_touserdata(L, 1);
    end_family(s);
    if (s->main)
        main_close(s->main);
    s->main = NULL;
    s->over = true;
    free(s->free_keys);
    s->free_keys = NULL;
    s->n_free_keys = s->n_keys = s->max_keys = 0;
    return 0;
}

void wl_state_open(lua_State *L, wl_worker *w)
{
    if (state_of(L))
        return;
    wl_state *s = lua_newuserdata(L, sizeof *s);
    *s = (wl_state){.worker = w};
    if (w)
        w->state = s;
    lua_newtable(L);
    lua_pushcfunction(L, state_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &state_key);
}

/* ---- what was told --------------------------------------------------------- */

/* Takes a reference of j. */
void wl_main_tell(wl_main *m, wl_job *j)
{
    j->next = NULL;
    j->listed = true;
    *m->last_job = j;
    m->last_job = &j->next;
}

void wl_main_tell_waker(wl_main *m, wl_waker *k)
{
    k->next = NULL;
    *m->last_waker = k;
    m->last_waker = &k->next;
}

bool wl_main_has_told(const wl_main *m) { return m->jobs || m->due || m->calls || m->wakers; }

bool wl_main_is_idle(lua_State *L)
{
    wl_main *m = wl_main_look(L);
    return !m || (weir_main_pending(m->weir) == 0 && !wl_main_has_told(m));
}

static void looked(weir_notice *notice, int outcome)
{
    (void)outcome;
    wl_main *m = (wl_main *)(void *)((char *)notice - offsetof(wl_main, look));
    m->looks = false;
    wl_main_unref(m);
}

/* A loop that watches lets go when nothing is to come any more, where it is told of
 * something: then of this. */
void wl_main_look_idle(wl_main *m)
{
    if (atomic_load(&m->closed) || !m->held || m->looks ||
        weir_main_pending(m->weir) > m->cancelled)
        return;
    m->look = (weir_notice){.fn = looked};
    if (weir_notice_expect(&m->look, m->weir) != 0)
        return;
    m->looks = true;
    wl_main_ref(m);
    weir_notice_post(&m->look, 0);
}

static wl_job *pop_job(wl_main *m)
{
    wl_job *j = m->jobs;
    if (!(m->jobs = j->next))
        m->last_job = &m->jobs;
    j->listed = false;
    wl_job_gone(j);
    return j;
}

/* -> key, or 0 */
static int tell_settled(lua_State *L, wl_main *m)
{
    wl_key_push(L, m->state, m->jobs->key); /* Lua looks at once who waits for it */
    wl_job_unref(pop_job(m));
    return 1;
}

/* -> key */
static int tell_due(lua_State *L, wl_main *m)
{
    uint32_t key = wl_watch_take_due(m);
    wl_key_push(L, m->state, key);
    wl_key_give(m->state, key);
    return 1;
}

/* -> future, "failed" | nothing, if a finaliser was faster */
static int tell_failed(lua_State *L, wl_main *m)
{
    wl_future *f = wl_future_push(L);
    lua_pushliteral(L, "failed");
    if (!m->jobs || !wl_job_is_untold(m->jobs))
        return 0;
    f->job = pop_job(m);
    f->job->has_future = true;
    return 2;
}

/* -> call, "call" | nothing, if a finaliser was faster */
static int tell_call(lua_State *L, wl_main *m)
{
    wl_call_slot(L);
    lua_pushliteral(L, "call");
    return wl_call_fill(L, -2, m) ? 2 : 0;
}

/* -> key, which is only compared */
static int tell_waker(lua_State *L, wl_main *m)
{
    wl_waker *k = pop_waker(m);
    lua_pushlightuserdata(L, k);
    wl_waker_unref(k);
    return 1;
}

static int tell_one(lua_State *L, wl_main *m)
{
    if (m->wakers)
        return tell_waker(L, m);
    if (m->calls)
        return tell_call(L, m);
    if (m->due)
        return tell_due(L, m);
    return wl_job_is_untold(m->jobs) ? tell_failed(L, m) : tell_settled(L, m);
}

/* What can throw comes before anything is taken off a list: a finaliser that runs in
 * between may take it first.
 *
 * -> nothing | key, of what is settled, or 0 | call, "call" | future, "failed" */
static int told(lua_State *L)
{
    wl_main *m = wl_this(L)->main;
    int      n = 0;
    while (!n && m && wl_main_has_told(m))
        n = tell_one(L, m);
    return n;
}

/* ---- dispatch -------------------------------------------------------------- */

/* [max] -> how many were delivered */
static int dispatch(lua_State *L)
{
    int      max = (int)luaL_optinteger(L, 1, 0);
    wl_main *m = wl_this(L)->main;
    lua_pushinteger(L, m ? weir_main_dispatch(m->weir, max) : 0);
    return 1;
}

enum { MOST_NS = 1000000 }; /* of a turn, so that the loop's timers are in time */

/* Begins a turn of the only loop that watches, or goes on with it.
 *
 * max -> how many were delivered; 0 also when the turn has taken its time */
static int turn(lua_State *L)
{
    wl_main *m = wl_this(L)->main;
    int64_t  now = wl_now();
    int      n = 0;
    if (m && !m->turning) {
        m->turning = true;
        m->turning_since = now;
        quieten(m);
    }
    if (m && now - m->turning_since < MOST_NS)
        n = weir_main_dispatch(m->weir, (int)lua_tointeger(L, 1));
    lua_pushinteger(L, n);
    return 1;
}

/* -> ; the loop is about to poll */
static int turned(lua_State *L)
{
    wl_main *m = wl_this(L)->main;
    if (m) {
        m->turning = false;
        quieten(m);
    }
    return 0;
}

void wl_main_polled(wl_main *m, bool polled)
{
    m->polled = polled;
    quieten(m);
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
    wl_worker *w = wl_worker_of(L);
    wl_job    *j = w ? w->job : NULL;
    if (j && !wl_cancel_asleep(j, m, NULL))
        return false;
    if (wl_main_has_told(m))
        ns = 0;
    *n = w ? weir_main_wait(m->weir, ns) : wl_interrupt_wait(L, m, ns);
    return !j || wl_cancel_awake(j);
}

/* [seconds [, future [, for_space]]] -> how many were delivered, or nil and why it would
 * wait for ever. With the future that is waited for, or with true, for space in its own
 * pool's queue, a worker tells its pool that it blocks. */
static int wait(lua_State *L)
{
    lua_Number seconds = luaL_optnumber(L, 1, -1);
    wl_job    *j = lua_isnoneornil(L, 2) ? NULL : wl_job_check(L, 2);
    wl_main   *m = wl_main_of(L, wl_this(L));
    wl_worker *w = wl_this(L)->worker;
    bool       for_space = lua_toboolean(L, 3);
    wl_waiter  waiter;
    bool       counts = w && (for_space || (j && seconds < 0 && !j->limited));
    if (counts && !wl_pool_begin_wait(w->pool, &waiter, for_space ? NULL : j)) {
        unsigned most = atomic_load(&w->pool->most);
        lua_pushnil(L);
        lua_pushfstring(L, "would deadlock: pool '%s', %d of %d threads wait", w->pool->name,
                        (int)most, (int)most);
        return 2;
    }
    bool timed =
        w && j && !counts && seconds != 0; /* ends by itself, so it is no reason for an error */
    bool spare =
        timed || (wl_this(L)->actor && (j || for_space)); /* nor does this: other threads end it */
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
    lua_pushinteger(L, n);
    return 1;
}

/* -> how much is still to come that somebody may wait for */
static int pending(lua_State *L)
{
    wl_main *m = wl_this(L)->main;
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
    wl_main *m = wl_this(L)->main;
    if (m && !lua_isnone(L, 1)) {
        m->held = lua_toboolean(L, 1);
        quieten(m);
    }
    lua_pushboolean(L, m && m->held);
    return 1;
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
