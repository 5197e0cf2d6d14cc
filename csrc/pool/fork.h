/* SPDX-License-Identifier: ISC
 *
 * fork.h: what a child of fork finds.
 */
#ifndef WI_FORK_H
#define WI_FORK_H

#include "pool/pool.h"

#pragma GCC visibility push(hidden)

void wi_fork_init(void); /* installs the handlers, once */

#pragma GCC visibility pop
#endif
