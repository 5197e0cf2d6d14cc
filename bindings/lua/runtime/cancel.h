/* SPDX-License-Identifier: ISC
 *
 * cancel.h: stopping a task that runs.
 */
#pragma once

#include "runtime/job.h"

#pragma GCC visibility push(hidden)

int  wl_cancel_signal(void);
void wl_cancel_prepare(void);                       /* before the first pool opens */
void wl_cancel_current(wl_thread *w, lua_State *L); /* runs in w from now on */
bool wl_cancel_begin(wl_thread *w, wl_job *j);
void wl_cancel_leave(wl_thread *w);    /* from here on it is not stopped any more */
int  wl_cancel_too_late(lua_State *L); /* a task's message handler: the same, then notes it */
bool wl_cancel_end(wl_thread *w);
void wl_cancel_unhook(lua_State *L);
void wl_cancel_send(wl_job *j, int64_t abandon_ns);
void wl_cancel_left(wl_job *j);
bool wl_cancel_asleep(wl_job *j, wl_main *m, void (*wake_up)(void *), void *at); /* m, or at */
bool wl_cancel_awake(wl_job *j);

#pragma GCC visibility pop
