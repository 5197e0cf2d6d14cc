/* SPDX-License-Identifier: ISC
 *
 * tbb.cc: enqueue on a task_arena of oneTBB. It allocates a task each, from
 * pools of its own; its threads spin for a while before they sleep.
 */
#include "mailbox.h"

#include <tbb/global_control.h>
#include <tbb/task_arena.h>

static tbb::global_control *limit;
static tbb::task_arena     *arena;

/* The limit counts the main thread, for which the arena reserves no place. */
void pool_open(unsigned threads)
{
    limit = new tbb::global_control(tbb::global_control::max_allowed_parallelism, threads + 1);
    arena = new tbb::task_arena(static_cast<int>(threads), 0);
}

void pool_close(void)
{
    delete arena;
    delete limit;
}

void enqueue(struct mail *m)
{
    arena->enqueue([m] { serve(m); });
}
