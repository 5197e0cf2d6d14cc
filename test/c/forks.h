/* SPDX-License-Identifier: ISC
 *
 * forks.h: what the suites of forks from callbacks share.
 */
#pragma once

#include "harness.h"

extern rig   live;
extern pid_t child; /* 0: we are it */
extern int   releases;

/* In the child the callback returns as in the parent. */
void fork_here(void);
void done_forks(weir_task *task);
void forks_and_answers(weir_call *call, void *arg);
void notes_release(weir_task *task);

/* The child ends here. Nothing may keep the main: it and its thread's record are two blocks. */
void child_leaves_nothing(weir_pool *p, weir_main *m);
/* The test goes on in both; the child ends here. */
void live_close(void);
