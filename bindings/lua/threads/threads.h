/* SPDX-License-Identifier: ISC
 *
 * threads.h: pools and the states of their threads.
 */
#pragma once

#include "runtime/main.h"
#include "runtime/thread.h"

#pragma GCC visibility push(hidden)

/* Of a thread: the core calls them. */
int  wl_thread_init(void *pool, void **thread);
void wl_thread_exit(void *pool, void *thread);
int  wl_thread_run(weir_task *task, void *thread);
int  wl_thread_nice(void); /* the calling thread's */

/* A task that is to be submitted with what it calls, in j->call; and its submit: 0, or why it was
 * refused. The first may throw. */
wl_job *wl_task_make(lua_State *L, wl_main *m, wl_pool *p);
int     wl_task_submit(wl_job *j, weir_run_options *o);

void wl_coroutine_follow(lua_State *L, wl_thread *w); /* in its new state */
void wl_random_seed(lua_State *L);                    /* its libraries are open */

void wl_jit_keep(lua_State *L);  /* in its new state: what the others call */
bool wl_jit_stop(lua_State *L);  /* whether the compiler was on */
void wl_jit_go_on(lua_State *L); /* when it was */

void wl_on_cancel_end(wl_thread *w, bool cancelled); /* its task has ended */
void wl_on_cancel_register(lua_State *L);

void wl_open_register(lua_State *L);
void wl_run_register(lua_State *L);
void wl_seen_register(lua_State *L);
void wl_work_register(lua_State *L);

#pragma GCC visibility pop
