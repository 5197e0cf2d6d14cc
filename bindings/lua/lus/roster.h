/* SPDX-License-Identifier: ISC
 *
 * roster.h: all actors of the process, and how often it has forked.
 */
#pragma once

#include "lus/actor.h"

#pragma GCC visibility push(hidden)

extern pthread_mutex_t wl_roster_lock;

void      wl_roster_take(void);
void      wl_roster_give(void);
bool      wl_roster_enter_locked(wl_actor *a); /* it lives from now on; false: too many do */
void      wl_roster_ended_locked(const wl_actor *a);
void      wl_roster_forget(wl_actor *a); /* its memory goes */
unsigned  wl_roster_most(void);
wl_actor *wl_roster_newest_locked(void); /* then by `older` */
void      wl_roster_forked_locked(void);
unsigned  wl_generation(void);                 /* how often the process has forked from another */
bool      wl_actor_is_lost(const wl_actor *a); /* in a child of fork: from before that */

#pragma GCC visibility pop
