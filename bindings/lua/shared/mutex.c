/* SPDX-License-Identifier: ISC
 *
 * mutex.c: mutexes that cross between states, and who owns them.
 *
 * DESIGN. An owner is a coroutine, a session, a task or a state's main program; who ends
 * gives back what it owns. A claim is one lock that waits:
 *
 *   lock, of a held mutex --> WAITING --unlock or release, in order--> the owner's
 *                                |                       (the mutex is never free between)
 *                                +--its owner ends--> withdrawn
 *
 * One lock, `all`, guards every mutex, owner and claim of the process: its sections are
 * a few assignments, and who waits for whom can be followed, so that a circle is refused
 * where it would close. Whoever takes a claim off its mutex's list, under `all`, tells
 * it, after the unlock: its notice goes to the main of the state that waits, which may
 * be a loop's or a thread's that blocks.
 */
#include "runtime/job.h"
#include "runtime/settle.h"
#include "runtime/state.h"
#include "runtime/thread.h"
#include "runtime/util.h"
#include "codec/codec.h"
#include "shared/shared.h"
#include "weir.h"
#include "runtime/counted.h"

#include <stdio.h>
#include <stdlib.h>

static const char mutex_class[] = "weir.mutex";
static const char owner_class[] = "weir.owner";

typedef struct mutex mutex;
typedef struct claim claim;

static const wl_counted_class mutexes = {mutex_class, free};

enum kind { NORMAL = 0, RECURSIVE, ERRORCHECK };

struct wl_owner {
    _Atomic unsigned refs; /* whose it is; each mutex that it owns; each of its claims */
    /* Set when it is made. */
    const void *state;   /* the Lua state, a name only */
    bool        is_main; /* the state's main program, or its thread as a whole */
    char        name[64];
    /* Guarded by all. */
    mutex *held;   /* chained by next_held */
    claim *claims; /* chained by next_of_owner */
    bool   ended;
};

struct mutex {
    wl_counted counted; /* by handles, by its owner while there is one, and by each claim */
    enum kind  kind;
    /* Guarded by all. */
    wl_owner *owner;
    unsigned  depth;
    mutex    *next_held;
    claim    *first, **last; /* the oldest first */
};

struct claim {
    /* Set when it is made. */
    mutex    *mutex;
    wl_owner *owner;
    wl_job   *job;
    bool      blocks; /* its thread */
    /* Guarded by all. */
    claim *next, *next_of_owner;
};

static pthread_mutex_t all = PTHREAD_MUTEX_INITIALIZER;

static void           lock_all(void) { pthread_mutex_lock(&all); }
static void           unlock_all(void) { pthread_mutex_unlock(&all); }
static weir_fork_hook at_fork = {
    .before = lock_all, .in_parent = unlock_all, .in_child = unlock_all};

/* ---- references ------------------------------------------------------------ */

static void owner_ref(wl_owner *o) { atomic_fetch_add(&o->refs, 1); }

static void owner_unref(wl_owner *o)
{
    if (atomic_fetch_sub(&o->refs, 1) == 1)
        free(o);
}

/* ---- owning ---------------------------------------------------------------- */

/* With all held, here and below. */
static void own_locked(mutex *m, wl_owner *o)
{
    m->owner = o;
    m->depth = 1;
    m->next_held = o->held;
    o->held = m;
    wl_counted_ref(m);
    owner_ref(o);
}

static void take_off_locked(claim *c)
{
    claim **at = &c->mutex->first;
    while (*at != c)
        at = &(*at)->next;
    if (!(*at = c->next))
        c->mutex->last = at;
    for (at = &c->owner->claims; *at != c; at = &(*at)->next_of_owner)
        ;
    *at = c->next_of_owner;
}

/* The oldest claim gets it: the caller tells it. NULL: the mutex is free now. The
 * references of the ownership that ends are the caller's to give back. */
static claim *give_up_locked(mutex *m)
{
    mutex **at = &m->owner->held;
    while (*at != m)
        at = &(*at)->next_held;
    *at = m->next_held;
    m->owner = NULL;
    claim *c = m->first;
    if (c) {
        take_off_locked(c);
        own_locked(m, c->owner);
    }
    return c;
}

/* Consumes it. */
static void tell_claim(claim *c, int outcome)
{
    if (!c)
        return;
    weir_notice_post(&c->job->u.notice, outcome);
    owner_unref(c->owner);
    wl_counted_unref(c->mutex);
    free(c);
}

/* It will own and claim nothing any more. */
static void end_owner(wl_owner *o)
{
    for (;;) {
        lock_all();
        o->ended = true;
        mutex *m = o->held;
        claim *next = m ? give_up_locked(m) : NULL;
        claim *own = m ? NULL : o->claims;
        if (own)
            take_off_locked(own);
        unlock_all();
        tell_claim(next, 0);
        tell_claim(own, WEIR_ECLOSED);
        if (m) {
            owner_unref(o);
            wl_counted_unref(m);
        } else if (!own) {
            return;
        }
    }
}

void wl_owner_end(wl_owner *o)
{
    if (!o)
        return;
    end_owner(o);
    owner_unref(o);
}

/* ---- who waits for whom ---------------------------------------------------- */

/* A main program, under which other coroutines run, waits only where it blocks. */
static mutex *awaited_locked(const wl_owner *o)
{
    claim *c = o->claims;
    while (c && o->is_main && !c->blocks)
        c = c->next_of_owner;
    return c ? c->mutex : NULL;
}

/* Whether the owner of m waits, perhaps through others, for `me`. No circle stands yet. */
static bool closes_circle_locked(const mutex *m, const wl_owner *me)
{
    for (unsigned n = 0; m && m->owner && n < 10000; n++) {
        if (m->owner == me)
            return true;
        m = awaited_locked(m->owner);
    }
    return false;
}

enum { BLOCKS = 1, MAIN_WAITS = 2 }; /* what locks: its thread; its state's main program */

enum verdict { OWNED, HELD, REFUSED };

static enum verdict refuse_locked(const mutex *m, const wl_owner *me, unsigned how, char why[256])
{
    const wl_owner *o = m->owner;
    if (o == me)
        snprintf(why, 256, "lock: %s has locked this mutex already", me->name);
    else if (o->state == me->state && (how & BLOCKS || (how & MAIN_WAITS && o->is_main)))
        snprintf(why, 256, "would deadlock: the mutex is locked by %s, of this thread", o->name);
    else if (closes_circle_locked(m, me))
        snprintf(why, 256, "would deadlock: the mutex is locked by %s, which waits for %s", o->name,
                 me->name);
    else
        return HELD;
    return REFUSED;
}

static enum verdict try_locked(mutex *m, wl_owner *me, unsigned how, char why[256])
{
    if (me->ended) {
        snprintf(why, 256, "lock: %s has ended", me->name);
        return REFUSED;
    }
    if (!m->owner) {
        own_locked(m, me);
        return OWNED;
    }
    if (m->owner != me || m->kind != RECURSIVE)
        return refuse_locked(m, me, how, why);
    m->depth++;
    return OWNED;
}

static void wait_locked(claim *c)
{
    mutex *m = c->mutex;
    c->next = NULL;
    *m->last = c;
    m->last = &c->next;
    c->next_of_owner = c->owner->claims;
    c->owner->claims = c;
}

/* ---- userdata -------------------------------------------------------------- */

static wl_owner *make_owner(lua_State *L, const char *name, bool is_main)
{
    wl_owner *o = wl_alloc(L, sizeof *o);
    atomic_init(&o->refs, 1);
    o->state = lua_topointer(L, LUA_REGISTRYINDEX);
    o->is_main = is_main;
    snprintf(o->name, sizeof o->name, "%s", name);
    return o;
}

/* name [is_main] -> owner */
static int owner_new(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    lua_settop(L, 2);
    wl_owner **slot = lua_newuserdata(L, sizeof *slot);
    *slot = NULL;
    wl_set_class(L, owner_class);
    *slot = make_owner(L, name, lua_toboolean(L, 2));
    return 1;
}

/* owner -> ; also by hand */
static int owner_gc(lua_State *L)
{
    wl_owner **slot = wl_check(L, 1, owner_class);
    wl_owner  *o = *slot;
    *slot = NULL;
    wl_owner_end(o);
    return 0;
}

/* The owner at index or, with nil there, the task that runs here. */
static wl_owner *owner_at(lua_State *L, int index)
{
    wl_thread *w = wl_thread_of(L);
    if (!lua_isnoneornil(L, index) || !w || !w->job) {
        wl_owner **slot = wl_check(L, index, owner_class);
        luaL_argcheck(L, *slot, index, "the owner has ended");
        return *slot;
    }
    if (!w->owner) {
        char name[64];
        snprintf(name, sizeof name, "a task of pool '%s'", w->pool->name);
        w->owner = make_owner(L, name, false);
    }
    return w->owner;
}

static mutex *check_mutex(lua_State *L)
{
    mutex **slot = wl_check(L, 1, mutex_class);
    luaL_argcheck(L, *slot, 1, "the mutex is gone");
    return *slot;
}

/* kind, 0 to 2 -> mutex */
static int mutex_new(lua_State *L)
{
    wl_need_unrestricted(L, "weir.mutex");
    lua_Integer kind = luaL_checkinteger(L, 1);
    mutex      *m = wl_counted_make(L, wl_counted_slot(L, &mutexes), &mutexes, sizeof *m);
    m->kind = (enum kind)kind;
    m->last = &m->first;
    return 1;
}

/* ---- what Lua calls -------------------------------------------------------- */

static void told(weir_notice *notice, int outcome)
{
    wl_job_settle((wl_job *)(void *)notice, outcome);
}

/* -> future; all that can throw does it before the claim is anybody's */
static claim *make_claim(lua_State *L, mutex *m, wl_owner *o, unsigned how)
{
    wl_job *j = wl_job_push(L, WL_SIGNAL, NULL);
    claim  *c = wl_alloc(L, sizeof *c);
    j->u.notice.fn = told;
    if (weir_notice_expect(&j->u.notice, j->main->weir) != 0) {
        free(c);
        luaL_error(L, "lock: this state is closing");
    }
    wl_job_ref(c->job = j);
    wl_counted_ref(c->mutex = m);
    owner_ref(c->owner = o);
    c->blocks = how & BLOCKS;
    return c;
}

/* mutex owner flags -> true | future, over when it is owned | nil, why not */
static int mutex_lock(lua_State *L)
{
    wl_need_unrestricted(L, "lock");
    mutex    *m = check_mutex(L);
    wl_owner *o = owner_at(L, 2);
    unsigned  how = (unsigned)luaL_checkinteger(L, 3);
    char      why[256];
    lock_all();
    enum verdict v = try_locked(m, o, how, why);
    unlock_all();
    if (v == HELD) {
        claim *c = make_claim(L, m, o, how);
        lock_all();
        if ((v = try_locked(m, o, how, why)) == HELD)
            wait_locked(c);
        unlock_all();
        if (v == HELD)
            return 1;
        tell_claim(c, 0); /* nobody waits for it */
    }
    return v == REFUSED ? wl_nil(L, why) : wl_boolean(L, true);
}

/* mutex owner -> whether it was free, or is recursive and the owner's */
static int mutex_trylock(lua_State *L)
{
    wl_need_unrestricted(L, "trylock");
    mutex    *m = check_mutex(L);
    wl_owner *o = owner_at(L, 2);
    char      why[256];
    lock_all();
    enum verdict v = try_locked(m, o, 0, why);
    unlock_all();
    return wl_boolean(L, v == OWNED);
}

/* mutex owner -> true | nil, why not */
static int mutex_unlock(lua_State *L)
{
    mutex    *m = check_mutex(L);
    wl_owner *o = owner_at(L, 2);
    claim    *next = NULL;
    char      why[256] = "";
    bool      given_up = false;
    lock_all();
    if (!m->owner)
        snprintf(why, sizeof why, "unlock: this mutex is not locked");
    else if (m->owner != o)
        snprintf(why, sizeof why, "unlock: this mutex is locked by %s, not by %s", m->owner->name,
                 o->name);
    else if (--m->depth == 0) {
        next = give_up_locked(m);
        given_up = true;
    }
    unlock_all();
    if (*why)
        return wl_nil(L, why);
    tell_claim(next, 0);
    if (given_up) {
        owner_unref(o);
        wl_counted_unref(m);
    }
    return wl_boolean(L, true);
}

/* mutex -> the name of who holds it | nil */
static int mutex_holder(lua_State *L)
{
    wl_need_unrestricted(L, "holder");
    mutex *m = check_mutex(L);
    char   name[sizeof m->owner->name] = "";
    lock_all();
    if (m->owner)
        snprintf(name, sizeof name, "%s", m->owner->name);
    unlock_all();
    return lua_pushstring(L, *name ? name : NULL), 1;
}

/* value -> whether it is a mutex */
static int is_mutex(lua_State *L) { return wl_boolean(L, wl_test(L, 1, mutex_class) != NULL); }

/* value -> whether it is an owner */
static int is_owner(lua_State *L) { return wl_boolean(L, wl_test(L, 1, owner_class) != NULL); }

/* module -> module */
void wl_mutex_register(lua_State *L)
{
    weir_on_fork(&at_fork);
    wl_class(L, owner_class, "owner", owner_gc);
    wl_counted_register(L, &mutexes, "mutex", wl_counted_gc);
    wl_method(L, "owner_new", owner_new);
    wl_method(L, "owner_end", owner_gc);
    wl_method(L, "mutex_new", mutex_new);
    wl_method(L, "mutex_lock", mutex_lock);
    wl_method(L, "mutex_trylock", mutex_trylock);
    wl_method(L, "mutex_unlock", mutex_unlock);
    wl_method(L, "mutex_holder", mutex_holder);
    wl_method(L, "is_mutex", is_mutex);
    wl_method(L, "is_owner", is_owner);
}
