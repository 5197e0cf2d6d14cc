/* SPDX-License-Identifier: ISC
 *
 * family.c: the actors that a state has made, which end with it.
 */
#include "lus/family.h"
#include "lus/core.h"
#include "lus/channel.h"
#include "lus/roster.h"

#include <stdlib.h>

static void family_unref(wl_family *f)
{
    if (atomic_fetch_sub(&f->refs, 1) != 1)
        return;
    free(f);
}

static wl_family *family_new(void)
{
    wl_family *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    atomic_init(&f->refs, 1);
    f->generation = wl_generation();
    return f;
}

/* The state's; one from before a fork stays behind. NULL: no memory. */
static wl_family *family_at(wl_family **slot)
{
    if (!*slot || (*slot)->generation != wl_generation())
        *slot = family_new();
    return *slot;
}

/* Of the state that makes it, which has not ended yet. NULL, or why not. */
const char *wl_family_enter(lua_State *L, wl_actor *a)
{
    wl_family *f = family_at(&wl_lus_of(L)->family);
    if (!f)
        return "not enough memory";
    wl_roster_take();
    bool may = wl_roster_enter_locked(a);
    if (may) {
        atomic_fetch_add(&f->refs, 1);
        a->family = f;
        if ((a->next = f->first))
            a->next->prev = a;
        f->first = a;
    }
    wl_roster_give();
    return may ? NULL : lua_pushfstring(L, "%d workers live already", (int)wl_roster_most());
}

static void leave_family_locked(wl_family *f, wl_actor *a)
{
    if (a->next)
        a->next->prev = a->prev;
    if (a->prev)
        a->prev->next = a->next;
    else if (f->first == a)
        f->first = a->next;
    a->next = a->prev = NULL;
}

/* It has entered, and lives no more. */
void wl_family_leave(wl_actor *a)
{
    wl_family *f = a->family;
    a->family = NULL;
    wl_roster_take();
    leave_family_locked(f, a);
    wl_roster_ended_locked(a);
    wl_roster_give();
    family_unref(f);
}

void wl_family_end(wl_lus *s)
{
    wl_family *f = s->family;
    s->ended = true;
    s->family = NULL;
    if (!f || f->generation != wl_generation())
        return;
    for (wl_actor *a;;) {
        wl_roster_take();
        if ((a = f->first)) {
            leave_family_locked(f, a);
            wl_actor_ref(a);
        }
        wl_roster_give();
        if (!a)
            break;
        wl_channel_end(&a->in, WL_PARENT_ENDED);
        wl_actor_unref(a);
    }
    family_unref(f);
}
