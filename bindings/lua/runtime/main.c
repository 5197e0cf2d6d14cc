/* SPDX-License-Identifier: ISC
 *
 * main.c: a Lua state's main: opened by the first thing that needs it, and what is
 * told to it, for Lua to take later.
 */
#include "runtime/main.h"
#include "runtime/error.h"
#include "runtime/job.h"

#include <stddef.h>
#include <stdlib.h>

static _Atomic uint64_t  n_mains;
static _Thread_local int here; /* mains of this thread */

int wl_mains_here(int more) { return here += more; }

/* ---- all of them ---------------------------------------------------------- */

static pthread_mutex_t all = PTHREAD_MUTEX_INITIALIZER;
static wl_main        *newest;

static void lock_list(void) { pthread_mutex_lock(&all); }
static void unlock_list(void) { pthread_mutex_unlock(&all); }

static void enlist(wl_main *m)
{
    lock_list();
    if ((m->older = newest))
        newest->newer = m;
    newest = m;
    unlock_list();
}

static void unlist(wl_main *m)
{
    lock_list();
    if (m->older)
        m->older->newer = m->newer;
    *(m->newer ? &m->newer->older : &newest) = m->older;
    unlock_list();
}

/* In a child of fork nobody holds a main's lock, because it is held for a submit or a post,
 * whose thread stayed behind. A fork does not take it, because a submit may tell what ended,
 * and so take locks that this fork's hooks have already. */
static void free_locks(void)
{
    for (wl_main *m = newest; m; m = m->older)
        pthread_mutex_init(&m->lock, NULL);
    unlock_list();
}

static weir_fork_hook at_fork = {
    .before = lock_list, .in_parent = unlock_list, .in_child = free_locks};

void wl_mains_register(void) { weir_on_fork(&at_fork); }

/* ---- references ----------------------------------------------------------- */

void wl_main_ref(wl_main *m) { atomic_fetch_add(&m->refs, 1); }

void wl_main_unref(wl_main *m)
{
    if (atomic_fetch_sub(&m->refs, 1) != 1)
        return;
    unlist(m);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

/* Nobody polls the descriptor: no loop watches it, or the only one that does is letting
 * those go on whom it woke, and looks again before it polls. */
void wl_main_quieten(wl_main *m)
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
    m->last_work = &m->works;
    m->last_due = &m->due;
    m->last_call = &m->calls;
    m->last_ping = &m->pings;
    wl_main_quieten(m);
    s->main = m;
    enlist(m);
    wl_mains_here(1);
    return 0;
}

wl_main *wl_main_look(lua_State *L) { return wl_state_of(L)->main; }

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
    wl_state *s = wl_state_of(L);
    return s->main || s->over ? 0 : main_open(s);
}

wl_main *wl_main_get(lua_State *L) { return wl_main_of(L, wl_state_of(L)); }

/* ---- what is told to it ------------------------------------------------- */

/* Takes a reference of j. */
void wl_main_tell(wl_main *m, wl_job *j)
{
    wl_job ***last = j->is_work ? &m->last_work : &m->last_job;
    j->next = NULL;
    j->listed = true;
    **last = j;
    *last = &j->next;
}

void wl_main_tell_ping(wl_main *m, wl_ping *p)
{
    p->next = NULL;
    *m->last_ping = p;
    m->last_ping = &p->next;
}

bool wl_main_has_told(const wl_main *m)
{
    return m->n_told || m->jobs || m->works || m->due || m->calls || m->pings;
}

bool wl_main_is_idle(lua_State *L)
{
    wl_main *m = wl_main_look(L);
    return !m || (weir_main_pending(m->weir) == 0 && !wl_main_has_told(m));
}

bool wl_main_post(wl_main *m, weir_notice *n)
{
    wl_main_ref(m); /* what holds it may be gone before the unlock */
    pthread_mutex_lock(&m->lock);
    bool open = !atomic_load(&m->closed) && weir_notice_expect(n, m->weir) == 0;
    if (open)
        weir_notice_post(n, 0);
    pthread_mutex_unlock(&m->lock);
    wl_main_unref(m);
    return open;
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

void wl_main_polled(wl_main *m, bool polled)
{
    m->polled = polled;
    wl_main_quieten(m);
}
