/* SPDX-License-Identifier: ISC
 *
 * roster.c: all actors of the process, and how often it has forked.
 */
#include "lus/roster.h"

enum { MOST_ACTORS = 16384 };

pthread_mutex_t wl_roster_lock = PTHREAD_MUTEX_INITIALIZER;

static struct {
    /* Guarded by the lock. */
    wl_actor *newest; /* of all there are */
    unsigned  living; /* those that have not ended */
    /* Atomic. */
    _Atomic unsigned generation;
} roster;

void wl_roster_take(void) { pthread_mutex_lock(&wl_roster_lock); }
void wl_roster_give(void) { pthread_mutex_unlock(&wl_roster_lock); }

unsigned wl_generation(void) { return atomic_load(&roster.generation); }

bool wl_actor_is_lost(const wl_actor *a) { return a->generation != wl_generation(); }

wl_actor *wl_roster_newest_locked(void) { return roster.newest; }

bool wl_roster_enter_locked(wl_actor *a)
{
    if (roster.living >= MOST_ACTORS)
        return false;
    roster.living++;
    if ((a->older = roster.newest))
        a->older->newer = a;
    roster.newest = a;
    return true;
}

void wl_roster_ended_locked(const wl_actor *a) { roster.living -= !wl_actor_is_lost(a); }

static void leave_roster_locked(wl_actor *a)
{
    if (a->older)
        a->older->newer = a->newer;
    if (a->newer)
        a->newer->older = a->older;
    else if (roster.newest == a)
        roster.newest = a->older;
}

void wl_roster_forget(wl_actor *a)
{
    wl_roster_take();
    if (!wl_actor_is_lost(a))
        leave_roster_locked(a);
    wl_roster_give();
}

unsigned wl_roster_most(void) { return MOST_ACTORS; }

/* In a child of fork, whose actors stayed behind. */
void wl_roster_forked_locked(void)
{
    roster.newest = NULL;
    roster.living = 0;
    atomic_fetch_add(&roster.generation, 1);
}
