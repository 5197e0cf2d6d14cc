/* SPDX-License-Identifier: ISC
 *
 * fork.h: what a child of fork finds.
 */
#pragma once

#include "pool/pool.h"

#pragma GCC visibility push(hidden)

void wi_fork_init(void); /* installs the handlers, once */

#pragma GCC visibility pop
