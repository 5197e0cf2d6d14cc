/* SPDX-License-Identifier: ISC
 *
 * lazy.h: what the suites of lazy pools share.
 */
#pragma once

#include "harness.h"

extern tally states;          /* that live */
extern int   init_fails_with; /* 0: it does not */
extern gate *init_waits;

/* Whose threads retire as soon as they idle. */
weir_pool_options lazy(unsigned max);

void until_threads(weir_pool *p, unsigned n);
void until_done(rig *r, probe *t);
/* Runs t anew in r, and expects its outcome. */
void run_through(rig *r, probe *t, int code, int outcome);
void rig_end(rig *r); /* no state is left */
