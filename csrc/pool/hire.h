/* SPDX-License-Identifier: ISC
 *
 * hire.h: threads come.
 */
#pragma once

#include "pool/pool.h"

#pragma GCC visibility push(hidden)

/* Makes n threads of ours, which are expected; `later`: after the open. How many were
 * refused, with the reason in *rc; then a reference is the caller's, to give back. */
unsigned wi_pool_hire(weir_pool *p, unsigned n, bool later, int *rc);
/* Asks the host for as many as are due. False: its main is closed, nobody will answer;
 * then a reference is the caller's, to give back. */
bool wi_pool_post_lend(weir_pool *p);
/* The calling thread, one of ours, is about to leave: joins the one before it. */
void wi_pool_join_before(weir_pool *p);

#pragma GCC visibility pop
