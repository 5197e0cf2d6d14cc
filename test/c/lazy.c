/* SPDX-License-Identifier: ISC
 *
 * lazy.c: what the suites of lazy pools share.
 */
#include "lazy.h"

tally states;
int   init_fails_with;
gate *init_waits;

static int lazy_init(void *arg, void **state)
{
    (void)arg, (void)state;
    if (init_waits)
        gate_wait(init_waits);
    if (init_fails_with)
        return init_fails_with;
    tally_add(&states, 1);
    return 0;
}

static void lazy_at_exit(void *arg, void *state)
{
    (void)arg, (void)state;
    tally_add(&states, -1);
}

weir_pool_options lazy(unsigned max)
{
    weir_pool_options o = pool_of(0);
    o.lazy = true, o.threads_max = max, o.idle_ns = 1;
    o.init = lazy_init, o.at_exit = lazy_at_exit;
    states = (tally)TALLY, init_fails_with = 0, init_waits = NULL;
    return o;
}

void until_threads(weir_pool *p, unsigned n)
{
    test_stage("waits for the number of threads");
    while (stats_of(p).threads != n)
        sched_yield();
    test_stage(NULL);
}

void until_done(rig *r, probe *t)
{
    while (t->dones == 0)
        expect_op(weir_main_wait(r->m, -1), >=, 0);
}

void run_through(rig *r, probe *t, int code, int outcome)
{
    *t = (probe)PROBE;
    t->code = code;
    expect_eq(weir_run(r->p, &t->task, r->m), 0);
    until_done(r, t);
    expect_eq(t->outcome, outcome);
}

void rig_end(rig *r)
{
    rig_close(r);
    expect_eq(tally_get(&states), 0);
}
