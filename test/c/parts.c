/* SPDX-License-Identifier: ISC
 *
 * parts.c: the pools, mains and tasks that tests are put together from.
 */
#include "harness.h"

weir_pool_options pool_of(unsigned n)
{
    return (weir_pool_options){.size = sizeof(weir_pool_options), .threads = n};
}

weir_run_options labelled(const char *label, weir_main *m)
{
    return (weir_run_options){.size = sizeof(weir_run_options), .deliver_to = m, .label = label};
}

void pool_end(weir_pool *pool)
{
    if (pool)
        expect_eq(weir_close(pool, WEIR_CLOSE), 0);
    weir_pool_release(pool);
}

void main_end(weir_main *m)
{
    if (!m)
        return;
    while (weir_main_pending(m))
        weir_main_wait(m, -1);
    expect_eq(weir_main_close(m, 0), 0);
}

bool rig_open_with(rig *r, const weir_pool_options *opts)
{
    *r = (rig){NULL, NULL};
    return given(weir_main_open(&r->m)) && given(weir_pool_open(&r->p, opts));
}

bool rig_open(rig *r, unsigned threads)
{
    weir_pool_options opts = pool_of(threads);
    return rig_open_with(r, &opts);
}

static void never_answers(weir_pool *p, void *arg) { (void)p, (void)arg; }

static void enters_and_is_lost(void *pool)
{
    weir_worker *w;
    expect_eq(weir_worker_enter(pool, &w), 0);
    weir_worker_leave(w, true, 0);
}

void rig_open_deserted(rig *r, weir_pool_options opts)
{
    helper h;
    opts.borrowed = true, opts.lend = never_answers;
    expect_eq(weir_main_open(&r->m), 0);
    expect_eq(weir_pool_open_async(&r->p, &opts, r->m, NULL), 0);
    helper_start(&h, enters_and_is_lost, r->p);
    helper_join(&h);
    weir_main_dispatch(r->m, 0); /* what was posted to lend holds the pool */
}

void rig_close(rig *r)
{
    pool_end(r->p);
    main_end(r->m);
}

void main_until(weir_main *m, tally *t, long n)
{
    while (tally_get(t) < n)
        expect_op(weir_main_wait(m, -1), >=, 0);
}

/* When the fence has run, what its worker did before is posted. */
void settle_undelivered(rig *r, probe *t, int n)
{
    probe fence = PROBE;
    fence.task.done = NULL;
    for (int i = 0; i < n; i++) {
        t[i] = (probe)PROBE;
        t[i].id = i;
        expect_eq(weir_run(r->p, &t[i].task, r->m), 0);
    }
    expect_eq(weir_run(r->p, &fence.task, NULL), 0);
    expect_eq(weir_wait(&fence.task, -1), 0);
}

void order_note(order *o, int id)
{
    pthread_mutex_lock(&o->lock);
    expect_op(o->n, <, 1024);
    o->id[o->n++] = id;
    pthread_mutex_unlock(&o->lock);
}

int probe_run(weir_task *task, void *state)
{
    probe *p = (probe *)task;
    p->state = state;
    p->ran_on = pthread_self();
    atomic_fetch_add(&p->runs, 1);
    if (p->order)
        order_note(p->order, p->id);
    if (p->entered)
        gate_open(p->entered);
    if (p->leave)
        gate_wait(p->leave);
    return p->code;
}

/* The tally is last: the probe may be gone once it moved. */
void probe_done(weir_task *task)
{
    probe *p = (probe *)task;
    tally *settled = p->settled;
    p->outcome = weir_task_outcome(task);
    p->orphaned = weir_task_orphaned(task);
    p->done_on = pthread_self();
    atomic_fetch_add(&p->dones, 1);
    if (settled)
        tally_add(settled, 1);
}

bool plug_in(plug *p, weir_pool *pool, weir_main *m)
{
    *p = (plug){.probe = PROBE, .entered = GATE, .leave = GATE};
    p->probe.entered = &p->entered;
    p->probe.leave = &p->leave;
    if (!given(weir_run(pool, &p->probe.task, m)))
        return false;
    gate_wait(&p->entered);
    return true;
}

void plug_pull(plug *p) { gate_open(&p->leave); }

void news_tell(weir_notice *notice, int outcome)
{
    news  *n = (news *)notice;
    tally *told = n->told;
    n->outcome = outcome;
    n->on = pthread_self();
    atomic_fetch_add(&n->calls, 1);
    if (told)
        tally_add(told, 1);
}

weir_pool_stats stats_of(weir_pool *pool)
{
    weir_pool_stats s = {.size = sizeof s};
    expect_eq(weir_pool_get_stats(pool, &s), 0);
    expect_eq(s.submitted, s.queued + s.running + s.parked + s.ok + s.failed + s.cancelled +
                               s.expired + s.closed + s.dropped);
    expect_op(s.idle, <=, s.threads);
    return s;
}

int parker_run(weir_task *task, void *state)
{
    parker *k = (parker *)task;
    probe_run(task, state);
    return atomic_fetch_sub(&k->parks, 1) > 0 ? WEIR_PARK : k->p.code;
}

parker parking(int times)
{
    return (parker){.p = {.task = {.run = parker_run, .done = probe_done}}, .parks = times};
}

void until_parked(weir_task *task)
{
    while (weir_task_get_state(task) != WEIR_TASK_PARKED)
        sched_yield();
}

weir_delivery fresh(void) { return (weir_delivery){.size = sizeof(weir_delivery)}; }
