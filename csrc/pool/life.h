/* SPDX-License-Identifier: ISC
 *
 * life.h: every write of a pool's state.
 */
#pragma once

#include "pool/pool.h"

#pragma GCC visibility push(hidden)

/* ---- threads report */

/* A thread reports, its expectation already taken back under the same lock: it
 * serves from now on, or did not come. */
void wi_pool_entered_locked(weir_pool *p, weir_worker *w);
void wi_pool_refused_locked(weir_pool *p, unsigned n, int code);
/* Whether all have reported and the caller is to post `ready`, and then to open it. No
 * lock held. */
bool wi_pool_must_report(weir_pool *p);
void wi_pool_opened_locked(weir_pool *p); /* ready was posted; a close may have come first */

/* ---- the end */

void wi_pool_begin_close_locked(weir_pool *p, weir_close_mode mode);
/* Moves on towards CLOSED as far as it goes. DRAINING and run dry: CLOSING. CLOSING
 * and nobody left: CLOSED, notices due. */
void wi_pool_advance_locked(weir_pool *p);
bool wi_pool_is_deserted(const weir_pool *p);    /* no thread serves, none is expected */
bool wi_pool_is_over_locked(const weir_pool *p); /* CLOSED, everybody told */
/* This thread gives the notices of the end after its unlock. */
void wi_pool_owe_notices_locked(weir_pool *p);
void wi_pool_forked_locked(weir_pool *p); /* in the child: CLOSED */

#pragma GCC visibility pop
