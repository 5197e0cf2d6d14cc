/* SPDX-License-Identifier: ISC
 *
 * actor.c: references of actors: who keeps the struct alive.
 */
#include "lus/actor.h"
#include "lus/core.h"
#include "lus/queue.h"
#include "lus/rights.h"
#include "lus/roster.h"

#include <stdlib.h>

void wl_actor_ref(wl_actor *a) { atomic_fetch_add(&a->refs, 1); }

void wl_actor_unref(wl_actor *a)
{
    if (atomic_fetch_sub(&a->refs, 1) != 1)
        return;
    wl_roster_forget(a);
    wl_channel_destroy(&a->in);
    wl_channel_destroy(&a->out);
    wl_core->wl_message_free(a->arguments);
    wl_rights_unref(a->rights);
    wl_limits_unref(a->limits);
    free(a->path);
    free(a->package_path);
    free(a->package_cpath);
    free(a->error);
    free(a->traceback);
    free(a);
}

bool wl_actor_is_dead(wl_actor *a) { return wl_actor_is_lost(a) || atomic_load(&a->out.ended); }
