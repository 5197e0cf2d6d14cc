/* SPDX-License-Identifier: ISC
 *
 * test_serve.c: a blocking call on a thread that owns a main serves run_in_main.
 */
#include "harness.h"

/* What fn does on the main's thread while that thread blocks. */
static void (*inside)(void);
static weir_call  *kept;
static _Atomic int served;

static void serves(weir_call *call, void *arg)
{
    (void)arg;
    if (inside)
        inside();
    atomic_fetch_add(&served, 1);
    weir_call_finish(call, 0, &served);
}

static void serves_and_keeps(weir_call *call, void *arg)
{
    (void)arg;
    kept = call;
    atomic_fetch_add(&served, 1);
}

static int ask(void (*fn)(weir_call *, void *))
{
    void *result = NULL;
    int   rc = weir_run_in_main(NULL, fn, NULL, &result);
    expect(rc != 0 || result == &served);
    return rc;
}

static int run_asks(weir_task *task, void *state)
{
    probe_run(task, state);
    return ask(serves);
}

static int run_asks_in_vain(weir_task *task, void *state)
{
    probe_run(task, state);
    return ask(serves_and_keeps);
}

static void start(void (*fn)(void))
{
    inside = fn;
    kept = NULL;
    atomic_store(&served, 0);
}

TEST(wait_serves_calls_and_runs_no_done)
{
    rig   r;
    probe other = PROBE, t = {.task = {.run = run_asks}};
    start(NULL);
    expect(rig_open(&r, 1));
    expect_eq(weir_run(r.p, &other.task, r.m), 0);
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    expect_eq(weir_wait(&t.task, -1), 0);
    expect_eq(weir_task_outcome(&t.task), 0);
    expect_eq(served, 1);
    expect_eq(other.dones, 0);
    expect(readable(weir_main_fd(r.m)));
    rig_close(&r);
    expect_eq(other.dones, 1);
}

TEST(close_serves_calls_and_runs_no_done)
{
    rig   r;
    probe t = {.task = {.run = run_asks, .done = probe_done}};
    start(NULL);
    expect(rig_open(&r, 2));
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    expect_eq(weir_close(r.p, WEIR_DRAIN), 0);
    expect_eq(served, 1);
    expect_eq(t.dones, 0);
    expect_eq(weir_main_dispatch(r.m, 0), 1);
    expect_eq(t.outcome, 0);
    rig_close(&r);
}

static int init_asks(void *arg, void **state)
{
    (void)arg;
    *state = &served;
    return ask(serves);
}

static void at_exit_asks(void *arg, void *state)
{
    (void)arg;
    expect(state == &served);
    expect_eq(ask(serves), 0);
}

TEST(open_serves_calls_of_init_and_close_those_of_at_exit)
{
    rig               r;
    weir_pool_options opts = pool_of(3);
    opts.init = init_asks, opts.at_exit = at_exit_asks;
    start(NULL);
    expect(rig_open_with(&r, &opts));
    expect_eq(served, 3);
    expect_eq(weir_close(r.p, WEIR_CLOSE), 0);
    expect_eq(served, 6);
    rig_close(&r);
}

TEST(a_submission_to_a_full_queue_serves_the_calls_that_hold_its_workers)
{
    rig               r;
    weir_pool_options opts = pool_of(2);
    tally             settled = TALLY;
    probe             t[12];
    opts.queue_limit = 1, opts.when_full = WEIR_BLOCK;
    start(NULL);
    expect(rig_open_with(&r, &opts));
    for (int i = 0; i < 12; i++) {
        t[i] = (probe){.task = {.run = run_asks, .done = probe_done}, .settled = &settled};
        expect_eq(weir_run(r.p, &t[i].task, r.m), 0);
        expect_eq(tally_get(&settled), 0);
    }
    expect_op(served, >=, 9);
    main_until(r.m, &settled, 12);
    for (int i = 0; i < 12; i++)
        expect_eq(t[i].outcome, 0);
    rig_close(&r);
}

TEST(a_call_not_finished_when_its_fn_returns_to_a_blocking_call_is_a_deadlock)
{
    rig      r;
    uint64_t late = weir_main_late_finishes();
    probe    t = {.task = {.run = run_asks_in_vain}};
    start(NULL);
    expect(rig_open(&r, 1));
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    expect_eq(weir_wait(&t.task, -1), 0);
    expect_eq(weir_task_outcome(&t.task), WEIR_EDEADLK);
    expect(kept != NULL);
    weir_call_finish(kept, 0, NULL);
    expect_eq(weir_main_late_finishes(), late + 1);
    rig_close(&r);
}

static void asks_the_first_main(void *arg) { *(int *)arg = ask(serves_and_keeps); }

TEST(main_wait_turns_the_loop_so_that_a_call_may_stay_unfinished)
{
    for (unsigned round = 0; round < scaled(200); round++) {
        weir_main *m;
        helper     h;
        int        rc = 1;
        start(NULL);
        expect_eq(weir_main_open(&m), 0);
        helper_start(&h, asks_the_first_main, &rc);
        while (served == 0)
            weir_main_wait(m, SECONDS(1));
        weir_call_finish(kept, 0, &served);
        helper_join(&h);
        expect_eq(rc, 0);
        main_end(m);
    }
}

static rig here;

static void closes_the_main_inside(void)
{
    expect_eq(weir_main_close(here.m, 0), WEIR_EBUSY);
    expect_eq(weir_main_close(here.m, WEIR_DETACH), WEIR_EBUSY);
}

TEST(a_served_call_may_not_close_its_main)
{
    probe t = {.task = {.run = run_asks}};
    start(closes_the_main_inside);
    expect(rig_open(&here, 1));
    expect_eq(weir_run(here.p, &t.task, here.m), 0);
    expect_eq(weir_wait(&t.task, -1), 0);
    expect_eq(weir_task_outcome(&t.task), 0);
    rig_close(&here);
}

static void runs_and_waits_inside(void)
{
    probe t = PROBE;
    t.task.done = NULL;
    expect_eq(weir_run(here.p, &t.task, here.m), 0);
    expect_eq(weir_wait(&t.task, -1), 0);
}

TEST(a_served_call_may_itself_wait)
{
    probe t[3];
    start(runs_and_waits_inside);
    expect(rig_open(&here, 4));
    for (int i = 0; i < 3; i++) {
        t[i] = (probe){.task = {.run = run_asks}};
        expect_eq(weir_run(here.p, &t[i].task, here.m), 0);
    }
    for (int i = 0; i < 3; i++) {
        expect_eq(weir_wait(&t[i].task, -1), 0);
        expect_eq(weir_task_outcome(&t[i].task), 0);
    }
    expect_eq(served, 3);
    rig_close(&here);
}

static int asked_first;

static void asks_first(void *arg)
{
    (void)arg;
    asked_first = weir_run_in_main(here.m, serves, NULL, NULL);
}

TEST(waiting_on_one_main_serves_the_calls_to_another_of_the_thread)
{
    weir_main *other;
    plug       p;
    helper     h;
    start(NULL);
    expect(rig_open(&here, 1) && plug_in(&p, here.p, NULL));
    expect_eq(weir_main_open(&other), 0);
    probe t = PROBE;
    expect_eq(weir_run(here.p, &t.task, other), 0);
    helper_start(&h, asks_first, NULL);
    while (!h.returned)
        weir_main_wait(other, MILLIS(1));
    helper_join(&h);
    expect_eq(asked_first, 0);
    plug_pull(&p);
    main_end(other);
    rig_close(&here);
    expect_eq(t.dones, 1);
}

/* The wait may end with a call posted and not served, since its worker goes on
 * before the waiter wakes: then the loop's poll must see it. */
TEST(a_call_that_a_wait_left_behind_makes_the_descriptor_readable)
{
    start(NULL);
    expect(rig_open(&here, 1));
    for (unsigned round = 0; round < scaled(500); round++) {
        tally settled = TALLY;
        probe waited = PROBE, asks = {.task = {.run = run_asks, .done = probe_done}};
        waited.task.done = NULL, asks.settled = &settled;
        expect_eq(weir_run(here.p, &waited.task, here.m), 0);
        expect_eq(weir_run(here.p, &asks.task, NULL), 0);
        expect_eq(weir_wait(&waited.task, -1), 0);
        while (asks.dones == 0)
            if (readable(weir_main_fd(here.m)))
                weir_main_dispatch(here.m, 0);
            else
                sched_yield();
        expect_eq(asks.outcome, 0);
        tally_wait(&settled, 1);
    }
    rig_close(&here);
}

static void notice_asks(weir_notice *notice, int outcome)
{
    news_tell(notice, outcome);
    ((news *)notice)->outcome = ask(serves);
}

/* The last thread tells it, after its pool closed and before it ends. */
TEST(close_serves_the_call_of_a_notice_on_the_last_thread)
{
    for (unsigned round = 0; round < scaled(50); round++) {
        rig  r;
        plug p;
        news n = {.notice = {.fn = notice_asks}};
        start(NULL);
        expect(rig_open(&r, 2) && plug_in(&p, r.p, NULL));
        expect_eq(weir_close_async(r.p, WEIR_CLOSE, NULL, &n.notice), 0);
        plug_pull(&p);
        expect_eq(weir_close(r.p, WEIR_CLOSE), 0);
        expect_eq(n.calls, 1);
        expect_eq(n.outcome, 0);
        rig_close(&r);
    }
}

static void done_asks(weir_task *task)
{
    ((probe *)task)->code = ask(serves);
    probe_done(task);
}

TEST(close_serves_the_call_of_a_done_on_a_worker)
{
    rig   r;
    plug  p;
    probe queued = {.task = {.run = probe_run, .done = done_asks}};
    start(NULL);
    expect(rig_open(&r, 1) && plug_in(&p, r.p, NULL));
    expect_eq(weir_run(r.p, &queued.task, NULL), 0);
    expect_eq(weir_close_async(r.p, WEIR_CLOSE, NULL, NULL), 0);
    plug_pull(&p);
    expect_eq(weir_close(r.p, WEIR_CLOSE), 0);
    expect_eq(queued.dones, 1);
    expect_eq(queued.code, 0);
    rig_close(&r);
}

static int run_waits_on_main(weir_task *task, void *state)
{
    (void)state;
    probe *inner = ((probe *)task)->state;
    expect_eq(weir_run(weir_pool_current(), &inner->task, NULL), 0);
    expect_eq(weir_wait(&inner->task, -1), 0);
    return weir_task_outcome(&inner->task);
}

TEST(a_task_that_waits_for_a_task_that_calls_the_main_is_served)
{
    rig   r;
    probe inner = {.task = {.run = run_asks}};
    probe outer = {.task = {.run = run_waits_on_main}, .state = &inner};
    start(NULL);
    expect(rig_open(&r, 2));
    expect_eq(weir_run(r.p, &outer.task, r.m), 0);
    expect_eq(weir_wait(&outer.task, -1), 0);
    expect_eq(weir_task_outcome(&outer.task), 0);
    expect_eq(served, 1);
    rig_close(&r);
}

/* ---- what fn may do, and may not ------------------------------------------- */

static void asks_in_vain_and_pulls(void *plugged)
{
    expect_eq(ask(serves_and_keeps), WEIR_EDEADLK); /* while the wait goes on */
    plug_pull(plugged);
}

TEST(a_call_whose_fn_returns_unfinished_fails_before_the_wait_that_served_it_ends)
{
    rig    r;
    plug   p;
    helper h;
    start(NULL);
    expect(rig_open(&r, 1) && plug_in(&p, r.p, NULL));
    probe t = PROBE;
    t.task.done = NULL;
    expect_eq(weir_run(r.p, &t.task, NULL), 0);
    helper_start(&h, asks_in_vain_and_pulls, &p);
    expect_eq(weir_wait(&t.task, -1), 0);
    helper_join(&h);
    weir_call_finish(kept, 0, NULL);
    rig_close(&r);
}

static gate inner_goes;

static void asks_inside(void *arg)
{
    (void)arg;
    gate_wait(&inner_goes);
    asked_first = ask(serves);
}

static void turns_the_loop(weir_call *call, void *arg)
{
    helper *inner = arg;
    gate_open(&inner_goes);
    while (!inner->returned)
        weir_main_wait(here.m, MILLIS(10));
    weir_call_finish(call, 0, &served);
}

static int run_asks_for_a_loop(weir_task *task, void *state)
{
    (void)state;
    return weir_run_in_main(here.m, turns_the_loop, ((probe *)task)->state, NULL);
}

TEST(a_served_call_may_turn_the_loop_with_main_wait)
{
    helper inner;
    probe  t = {.task = {.run = run_asks_for_a_loop}, .state = &inner};
    start(NULL);
    inner_goes = (gate)GATE, asked_first = 1;
    expect(rig_open(&here, 1));
    helper_start(&inner, asks_inside, NULL);
    expect_eq(weir_run(here.p, &t.task, NULL), 0);
    expect_eq(weir_wait(&t.task, -1), 0);
    helper_join(&inner);
    expect_eq(asked_first, 0);
    rig_close(&here);
}

static _Atomic bool finished;

static void waits_inside_its_own_call(weir_call *call, void *arg)
{
    serves_and_keeps(call, NULL);
    expect_eq(weir_main_pending(here.m), 1);
    gate_open(arg);
    expect_eq(weir_main_wait(here.m, -1), 0);
    expect(finished); /* it waited for that */
}

static void asks_for_a_wait(void *arg)
{
    expect_eq(weir_run_in_main(here.m, waits_inside_its_own_call, arg, NULL), 0);
}

static void owns_the_main(void *opened)
{
    expect_eq(weir_main_open(&here.m), 0);
    gate_open(opened);
    while (!finished)
        weir_main_wait(here.m, SECONDS(1));
    main_end(here.m);
}

TEST(a_wait_inside_a_call_counts_the_call_until_another_thread_finishes_it)
{
    gate   opened = GATE, waits = GATE;
    helper owner, asker;
    start(NULL);
    finished = false;
    helper_start(&owner, owns_the_main, &opened);
    gate_wait(&opened);
    helper_start(&asker, asks_for_a_wait, &waits);
    gate_wait(&waits);
    helper_until_asleep(&owner);
    finished = true;
    weir_call_finish(kept, 0, NULL);
    helper_join(&asker);
    helper_join(&owner);
}

SUITE(serve, wait_serves_calls_and_runs_no_done, close_serves_calls_and_runs_no_done,
      open_serves_calls_of_init_and_close_those_of_at_exit,
      a_submission_to_a_full_queue_serves_the_calls_that_hold_its_workers,
      a_call_not_finished_when_its_fn_returns_to_a_blocking_call_is_a_deadlock,
      main_wait_turns_the_loop_so_that_a_call_may_stay_unfinished,
      a_served_call_may_not_close_its_main, a_served_call_may_itself_wait,
      waiting_on_one_main_serves_the_calls_to_another_of_the_thread,
      a_call_that_a_wait_left_behind_makes_the_descriptor_readable,
      close_serves_the_call_of_a_notice_on_the_last_thread,
      close_serves_the_call_of_a_done_on_a_worker,
      a_task_that_waits_for_a_task_that_calls_the_main_is_served,
      a_call_whose_fn_returns_unfinished_fails_before_the_wait_that_served_it_ends,
      a_served_call_may_turn_the_loop_with_main_wait,
      a_wait_inside_a_call_counts_the_call_until_another_thread_finishes_it)
