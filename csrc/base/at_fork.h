/* SPDX-License-Identifier: ISC
 *
 * at_fork.h: what is called around a fork, and in which order.
 */
#pragma once

#include "weir.h"

#pragma GCC visibility push(hidden)

/* weir_on_fork for the core's own locks, which are taken last and given back first. */
void wi_at_fork(weir_fork_hook *cores);

#pragma GCC visibility pop
