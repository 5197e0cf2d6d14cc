/* SPDX-License-Identifier: ISC
 *
 * at_fork.h: what is called around a fork, and in which order.
 */
#pragma once

#include "weir.h"

#pragma GCC visibility push(hidden)

/* weir_on_fork for the core's own locks, which are taken last and given back first. */
void wi_at_fork(weir_fork_hook *cores);

/* How many forks lie between this process and the one that loaded us. What was counted at
 * another number is not counted in this process. Written in a child, before it has threads. */
extern unsigned wi_forks;

#pragma GCC visibility pop
