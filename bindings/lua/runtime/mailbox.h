/* SPDX-License-Identifier: ISC
 *
 * mailbox.h: waiting for a state's main, and its end.
 */
#pragma once

#include "runtime/main.h"

#pragma GCC visibility push(hidden)

void wl_main_end(lua_State *L); /* closes it: the task that it belongs to has ended */

/* Waits for deliveries, at most so long. False: the task that waits was cancelled. */
bool wl_main_sleep(lua_State *L, wl_main *m, int64_t ns, int *n);

/* The next work that has come back, with the caller's reference, and the key that it had; NULL:
 * none. */
wl_job *wl_main_take_work(wl_main *m, uint32_t *key);

void wl_main_register(lua_State *L);

#pragma GCC visibility pop
