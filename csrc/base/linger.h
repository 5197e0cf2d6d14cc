/* SPDX-License-Identifier: ISC
 *
 * linger.h: whether looking before a sleep pays, and how soon to look.
 *
 * A thread that is about to sleep may look for work a little longer than a sleep and a
 * wake-up cost. That pays only while something comes. A look in vain may itself be why
 * nothing came, because the thread that would bring it waits for this CPU. So after
 * some looks in vain in a row only one sleep of many has a look before it.
 *
 * Whoever owns the struct guards it: a pool's lock, or the owner of a main.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

enum { WI_LINGER_NS = 20000 };

typedef struct {
    unsigned missed;   /* looks in a row that saw nothing come */
    unsigned unlooked; /* sleeps since then without a look before */
    uint64_t handled;  /* what its owner had handled when it last began to look */
} wi_linger;

/* Whether to look before this sleep. */
bool wi_linger_pays(wi_linger *l);
/* How long until the first look; `handled` is all that its owner has handled so far. The
 * more the last lot had, the more is on its way, and what has come by then is taken at once. */
int64_t wi_linger_pause(wi_linger *l, uint64_t handled);
void    wi_linger_note(wi_linger *l, bool came); /* how a look went */

#pragma GCC visibility pop
