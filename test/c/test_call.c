/* SPDX-License-Identifier: ISC
 *
 * test_call.c: run_in_main: who calls, who answers, and when.
 */
#include "harness.h"

/* One call, and what its fn does with it. */
typedef struct {
    weir_main  *main; /* to name; NULL: none */
    int         code; /* to finish with */
    void       *result;
    bool        keeps; /* fn leaves the finishing to others */
    weir_call  *call;
    gate        begun;
    _Atomic int begins;
    pthread_t   on;
    weir_pool  *pool; /* what fn saw */
    int         rc;   /* what the caller got */
    void       *got;
} request;

#define REQUEST                                                                                    \
    {                                                                                              \
        .begun = GATE, .rc = 1                                                                     \
    }

static void answers(weir_call *call, void *arg)
{
    request *q = arg;
    q->on = pthread_self();
    q->pool = weir_pool_current();
    q->call = call;
    atomic_fetch_add(&q->begins, 1);
    gate_open(&q->begun); /* keeps: the call may be finished from here on */
    if (!q->keeps)
        weir_call_finish(call, q->code, q->result);
}

static void asks(void *arg)
{
    request *q = arg;
    q->rc = weir_run_in_main(q->main, answers, q, &q->got);
}

static int run_asks(weir_task *task, void *state)
{
    (void)state;
    asks(((probe *)task)->state);
    return 0;
}

static probe asking(request *q)
{
    return (probe){.task = {.run = run_asks, .done = probe_done}, .state = q};
}

SCENARIO(a_task_is_answered_by_the_main_that_submitted_it)
{
    rig        r = {NULL, NULL};
    weir_main *first = NULL;
    request    q = REQUEST;
    probe      t = asking(&q);
    q.result = &t, q.got = &q;
    if (given(weir_main_open(&first)) && rig_open(&r, 1)) {
        expect(given(weir_run(r.p, &t.task, r.m)));
        while (t.dones == 0)
            weir_main_wait(r.m, -1);
        if (given(q.rc)) {
            expect(pthread_equal(q.on, pthread_self()));
            expect(q.pool == NULL);
            expect(q.got == &t);
            expect_eq(q.begins, 1);
        }
    }
    rig_close(&r);
    main_end(first);
}

SCENARIO(a_foreign_thread_is_answered_by_the_main_it_names_or_the_first)
{
    weir_main *first = NULL, *second = NULL;
    request    named = REQUEST, unnamed = REQUEST;
    helper     h;
    if (given(weir_main_open(&first)) && given(weir_main_open(&second))) {
        named.main = second, named.code = 7, named.got = &named;
        helper_start(&h, asks, &named);
        while (!h.returned)
            weir_main_wait(second, MILLIS(1));
        helper_join(&h);
        expect(named.rc == 7 || !given(named.rc));
        expect(named.got == &named); /* untouched on failure */
        helper_start(&h, asks, &unnamed);
        while (!h.returned)
            weir_main_wait(first, MILLIS(1));
        helper_join(&h);
        given(unnamed.rc);
    }
    main_end(second);
    main_end(first);
}

TEST(fn_may_leave_the_answer_to_another_thread_for_later)
{
    weir_main *m;
    request    q = REQUEST;
    helper     h;
    expect_eq(weir_main_open(&m), 0);
    q.keeps = true;
    helper_start(&h, asks, &q);
    while (q.begins == 0)
        weir_main_wait(m, MILLIS(1));
    expect(!h.returned);
    expect_eq(weir_main_pending(m), 1);
    expect_eq(weir_main_dispatch(m, 0), 0);
    weir_call_finish(q.call, 3, NULL);
    helper_join(&h);
    expect_eq(q.rc, 3);
    main_end(m);
}

static void finishes(void *arg)
{
    request *q = arg;
    tally_wait(&q->begun, 1);
    if (q->call)
        weir_call_finish(q->call, q->code, q->result);
}

SCENARIO(an_answer_may_come_from_a_foreign_thread)
{
    weir_main *m = NULL;
    request    q = REQUEST;
    helper     asker, finisher;
    q.keeps = true, q.result = &q;
    if (given(weir_main_open(&m))) {
        helper_start(&finisher, finishes, &q);
        helper_start(&asker, asks, &q);
        while (!asker.returned)
            weir_main_wait(m, MILLIS(1));
        helper_join(&asker);
        if (given(q.rc))
            expect(q.got == &q);
        else
            gate_open(&q.begun); /* fn never ran: nothing to finish */
        helper_join(&finisher);
    }
    main_end(m);
}

TEST(a_call_on_its_own_main_or_without_function_is_an_error)
{
    weir_main *m;
    request    q = REQUEST;
    expect_eq(weir_main_open(&m), 0);
    expect_eq(weir_run_in_main(m, answers, &q, NULL), WEIR_EDEADLK);
    expect_eq(weir_run_in_main(NULL, answers, &q, NULL), WEIR_EDEADLK);
    expect_eq(weir_run_in_main(m, NULL, NULL, NULL), WEIR_EINVAL);
    expect_eq(q.begins, 0);
    expect_eq(weir_main_pending(m), 0);
    main_end(m);
}

TEST(without_any_main_a_call_is_closed)
{
    request q = REQUEST;
    asks(&q);
    expect_eq(q.rc, WEIR_ECLOSED);
    weir_main *m;
    expect_eq(weir_main_open(&m), 0);
    main_end(m);
    asks(&q);
    expect_eq(q.rc, WEIR_ECLOSED);
}

TEST(where_no_loop_turns_yet_a_call_waits_for_one)
{
    weir_main *m;
    request    q = REQUEST;
    helper     h;
    expect_eq(weir_main_open(&m), 0);
    helper_start(&h, asks, &q);
    helper_until_asleep(&h);
    expect(!h.returned);
    while (!readable(weir_main_fd(m)))
        sched_yield();
    expect_eq(weir_main_dispatch(m, 0), 1);
    helper_join(&h);
    expect_eq(q.rc, 0);
    main_end(m);
}

/* ---- the main closes ---------------------------------------------------- */

TEST(a_posted_call_is_withdrawn_when_its_main_closes)
{
    weir_main *m;
    request    q = REQUEST;
    helper     h;
    expect_eq(weir_main_open(&m), 0);
    q.main = m, q.got = &q;
    helper_start(&h, asks, &q);
    while (weir_main_pending(m) == 0)
        sched_yield();
    /* Undelivered deliveries are delivered, calls among them: either is right. */
    while (weir_main_close(m, 0) == WEIR_EBUSY)
        sched_yield();
    helper_join(&h);
    expect(q.begins ? q.rc == 0 : q.rc == WEIR_ECLOSED);
}

TEST(a_begun_call_is_failed_when_its_main_closes_and_its_finish_counted)
{
    weir_main *m;
    request    q = REQUEST;
    helper     h;
    uint64_t   late = weir_main_late_finishes();
    expect_eq(weir_main_open(&m), 0);
    q.main = m, q.keeps = true, q.got = &q;
    helper_start(&h, asks, &q);
    while (q.begins == 0)
        weir_main_wait(m, MILLIS(1));
    int rc = weir_main_close(m, 0);
    helper_join(&h);
    expect_eq(q.rc, WEIR_ECLOSED);
    expect(q.got == &q);
    while (rc == WEIR_EBUSY)
        rc = weir_main_close(m, 0);
    expect_eq(rc, 0);
    expect_eq(weir_main_late_finishes(), late);
    weir_call_finish(q.call, 0, &m);
    expect_eq(weir_main_late_finishes(), late + 1);
    expect(q.got == &q);
}

TEST(with_every_worker_stuck_in_a_call_the_main_can_still_close)
{
    rig      r;
    request  q[3];
    probe    t[3];
    tally    settled = TALLY;
    uint64_t late = weir_main_late_finishes();
    expect(rig_open(&r, 3));
    for (int i = 0; i < 3; i++) {
        q[i] = (request)REQUEST;
        q[i].keeps = true;
        t[i] = asking(&q[i]);
        t[i].settled = &settled;
        expect_eq(weir_run(r.p, &t[i].task, r.m), 0);
    }
    while (q[0].begins + q[1].begins + q[2].begins < 3)
        weir_main_wait(r.m, MILLIS(1));
    expect_eq(weir_main_close(r.m, WEIR_DETACH), 0);
    tally_wait(&settled, 3);
    for (int i = 0; i < 3; i++) {
        expect_eq(q[i].rc, WEIR_ECLOSED);
        weir_call_finish(q[i].call, 0, NULL);
    }
    expect_eq(weir_main_late_finishes(), late + 3);
    pool_end(r.p);
}

static int run_asks_when_let(weir_task *task, void *state)
{
    probe *p = (probe *)task;
    gate_open(p->entered);
    gate_wait(p->leave);
    return run_asks(task, state);
}

TEST(a_task_whose_main_has_closed_is_told_so)
{
    rig     r;
    gate    entered = GATE, leave = GATE;
    tally   settled = TALLY;
    request q = REQUEST;
    probe   t = asking(&q);
    t.task.run = run_asks_when_let;
    t.entered = &entered, t.leave = &leave, t.settled = &settled;
    expect(rig_open(&r, 1));
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    gate_wait(&entered);
    expect_eq(weir_main_close(r.m, WEIR_DETACH), 0);
    gate_open(&leave);
    tally_wait(&settled, 1);
    expect_eq(q.rc, WEIR_ECLOSED);
    expect_eq(q.begins, 0);
    pool_end(r.p);
}

/* Callers hammer a main that closes under them: each gets an answer. */
static _Atomic bool stop;

static void asks_until_closed(void *arg)
{
    (void)arg;
    while (!atomic_load(&stop)) {
        request q = REQUEST;
        asks(&q);
        expect(q.rc == 0 || q.rc == WEIR_ECLOSED);
        expect_eq(q.begins, q.rc == 0);
    }
}

TEST(callers_race_with_the_close_and_each_is_answered_once)
{
    helper h[3];
    atomic_store(&stop, false);
    for (int i = 0; i < 3; i++)
        helper_start(&h[i], asks_until_closed, NULL);
    for (unsigned round = 0; round < scaled(200); round++) {
        weir_main *m;
        expect_eq(weir_main_open(&m), 0);
        for (unsigned i = 0; i < round % 7; i++)
            weir_main_wait(m, 0);
        while (weir_main_close(m, 0) == WEIR_EBUSY)
            sched_yield();
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 3; i++)
        helper_join(&h[i]);
}

SUITE(call, a_task_is_answered_by_the_main_that_submitted_it,
      a_foreign_thread_is_answered_by_the_main_it_names_or_the_first,
      fn_may_leave_the_answer_to_another_thread_for_later, an_answer_may_come_from_a_foreign_thread,
      a_call_on_its_own_main_or_without_function_is_an_error, without_any_main_a_call_is_closed,
      where_no_loop_turns_yet_a_call_waits_for_one, a_posted_call_is_withdrawn_when_its_main_closes,
      a_begun_call_is_failed_when_its_main_closes_and_its_finish_counted,
      with_every_worker_stuck_in_a_call_the_main_can_still_close,
      a_task_whose_main_has_closed_is_told_so,
      callers_race_with_the_close_and_each_is_answered_once)
