/* SPDX-License-Identifier: ISC
 *
 * test_ends.c: a close and the last steps of a thread.
 */
#include "harness.h"

#include <unistd.h>

static rig  here;
static gate held, leave;

typedef enum { IN_A_TASK, IN_AT_EXIT, IN_ON_STOP, IN_A_DESTRUCTOR } place;
static place         where;
static _Atomic int   left;
static pthread_key_t key;
static int (*inside)(void);
static int inside_rc;

/* One thread of the pool stays there until the gate opens. */
static void stay(place at)
{
    if (at != where || atomic_fetch_add(&left, 1))
        return;
    inside_rc = inside ? inside() : 0;
    gate_open(&held);
    gate_wait(&leave);
}

static int run_stays(weir_task *task, void *state)
{
    (void)task, (void)state;
    pthread_setspecific(key, &key);
    stay(IN_A_TASK);
    return 0;
}

static void at_exit_stays(void *arg, void *state)
{
    (void)arg, (void)state;
    stay(IN_AT_EXIT);
}

static void on_stop_stays(void *arg, unsigned index)
{
    (void)arg, (void)index;
    stay(IN_ON_STOP);
}

static void destructor_stays(void *value)
{
    (void)value;
    stay(IN_A_DESTRUCTOR);
}

static void begin(place at, unsigned threads, int (*fn)(void))
{
    weir_pool_options opts = pool_of(threads);
    static weir_task  t[8];
    opts.at_exit = at_exit_stays, opts.on_stop = on_stop_stays;
    where = at, inside = fn, held = (gate)GATE, leave = (gate)GATE;
    atomic_store(&left, 0);
    expect_eq(pthread_key_create(&key, destructor_stays), 0);
    expect(rig_open_with(&here, &opts));
    for (unsigned i = 0; i < threads; i++) {
        t[i] = (weir_task){.run = run_stays};
        expect_eq(weir_run(here.p, &t[i], NULL), 0);
    }
    for (unsigned i = 0; at != IN_A_TASK && i < threads; i++)
        expect_eq(weir_wait(&t[i], -1), 0); /* who closes must not be quicker */
}

static void end(void)
{
    gate_open(&leave);
    rig_close(&here);
    expect_eq(pthread_key_delete(key), 0);
}

/* It returns while the thread is still held: else the test hangs. */
static void times_out(place at, unsigned threads)
{
    begin(at, threads, NULL);
    expect_eq(weir_close_within(here.p, WEIR_DRAIN, MILLIS(1)), WEIR_ETIMEDOUT);
    gate_wait(&held);
    expect_eq(weir_close_within(here.p, WEIR_CLOSE, MILLIS(1)), WEIR_ETIMEDOUT);
    expect_eq(weir_close_within(here.p, WEIR_CLOSE, 0), WEIR_ETIMEDOUT);
    end();
}

TEST(a_close_with_a_limit_is_on_time_whatever_a_thread_is_in)
{
    for (unsigned threads = 1; threads <= 3; threads++)
        for (int at = IN_AT_EXIT; at <= IN_A_DESTRUCTOR; at++)
            times_out((place)at, threads);
}

static void closes(void *arg)
{
    (void)arg;
    expect_eq(weir_close(here.p, WEIR_DRAIN), 0);
}

/* The other one joins already; then it gives up, and this one does. */
TEST(a_close_with_a_limit_is_on_time_beside_another_that_joins)
{
    helper h;
    begin(IN_A_DESTRUCTOR, 1, NULL);
    helper_start(&h, closes, NULL);
    gate_wait(&held);
    helper_until_asleep(&h);
    expect_eq(weir_close_within(here.p, WEIR_CLOSE, MILLIS(1)), WEIR_ETIMEDOUT);
    gate_open(&leave);
    helper_join(&h);
    end();
}

static void closes_within(void *arg)
{
    *(int *)arg = weir_close_within(here.p, WEIR_DRAIN, MILLIS(20));
}

TEST(a_close_goes_on_when_one_with_a_limit_gives_the_join_up)
{
    helper limited, endless;
    int    rc = 0;
    begin(IN_A_DESTRUCTOR, 1, NULL);
    helper_start(&limited, closes_within, &rc);
    helper_start(&endless, closes, NULL);
    gate_wait(&held);
    helper_join(&limited);
    expect_eq(rc, WEIR_ETIMEDOUT);
    gate_open(&leave);
    helper_join(&endless);
    end();
}

static int closes_here(void)
{
    expect_eq(weir_close_within(here.p, WEIR_DRAIN, SECONDS(60)), WEIR_EDEADLK);
    return weir_close(here.p, WEIR_CLOSE);
}

TEST(a_close_by_a_thread_of_the_pool_is_an_error_wherever_that_is)
{
    for (unsigned threads = 1; threads <= 3; threads++)
        for (int at = IN_A_TASK; at <= IN_A_DESTRUCTOR; at++) {
            begin((place)at, threads, closes_here);
            if (at == IN_A_TASK)
                gate_wait(&held);
            expect_eq(weir_close_async(here.p, WEIR_DRAIN, NULL, NULL), 0);
            gate_wait(&held);
            expect_eq(inside_rc, WEIR_EDEADLK);
            end();
        }
}

static void answers(weir_call *call, void *arg)
{
    (void)arg;
    weir_call_finish(call, 0, NULL);
}

static int asks_the_main(void)
{
    gate_open(&leave);
    return weir_run_in_main(here.m, answers, NULL, NULL);
}

/* The main's thread is in the join by then, or just before. */
TEST(a_close_serves_a_call_of_a_threads_last_destructor)
{
    begin(IN_A_DESTRUCTOR, 1, asks_the_main);
    expect_eq(weir_close(here.p, WEIR_DRAIN), 0);
    expect_eq(inside_rc, 0);
    end();
}

static tally calls;
static int   close_in_call;

static void closes_in_call(weir_call *call, void *arg)
{
    (void)arg;
    close_in_call = weir_close(here.p, WEIR_CLOSE);
    tally_add(&calls, 1);
    weir_call_finish(call, 0, NULL);
}

static int has_the_main_close(void) { return weir_run_in_main(here.m, closes_in_call, NULL, NULL); }

TEST(a_close_inside_a_call_of_a_thread_that_ends_is_an_error)
{
    for (int at = IN_AT_EXIT; at <= IN_A_DESTRUCTOR; at++) {
        calls = (tally)TALLY;
        begin((place)at, 1, has_the_main_close);
        expect_eq(weir_close_async(here.p, WEIR_DRAIN, NULL, NULL), 0);
        main_until(here.m, &calls, 1);
        expect_eq(close_in_call, WEIR_EDEADLK);
        gate_wait(&held);
        expect_eq(inside_rc, 0);
        end();
    }
}

static weir_call *unfinished;

static void finishes_later(weir_call *call, void *arg)
{
    (void)arg;
    unfinished = call;
    tally_add(&calls, 1);
}

static int has_the_main_answer_later(void)
{
    return weir_run_in_main(here.m, finishes_later, NULL, NULL);
}

/* Its loop does not turn while it closes, so nothing would finish the call. */
TEST(a_close_ends_the_unfinished_call_of_a_thread_that_ends)
{
    for (int at = IN_AT_EXIT; at <= IN_A_DESTRUCTOR; at++) {
        calls = (tally)TALLY;
        begin((place)at, 1, has_the_main_answer_later);
        expect_eq(weir_close_async(here.p, WEIR_DRAIN, NULL, NULL), 0);
        main_until(here.m, &calls, 1);
        gate_open(&leave);
        expect_eq(weir_close(here.p, WEIR_CLOSE), 0);
        expect_eq(inside_rc, WEIR_EDEADLK);
        weir_call_finish(unfinished, 0, NULL);
        end();
    }
}

static void forks(weir_call *call, void *pid)
{
    *(pid_t *)pid = child_begin();
    if (*(pid_t *)pid > 0)
        child_reap(*(pid_t *)pid);
    weir_call_finish(call, 0, NULL);
}

static pid_t child;

static int has_the_main_fork(void)
{
    gate_open(&leave);
    return weir_run_in_main(here.m, forks, &child, NULL);
}

/* The thread that it joins stayed behind. */
TEST(a_close_that_forks_in_the_join_ends_in_the_child)
{
    begin(IN_A_DESTRUCTOR, 1, has_the_main_fork);
    expect_eq(weir_close(here.p, WEIR_DRAIN), 0);
    end();
    if (child == 0)
        _exit(0);
}

SUITE(ends, a_close_with_a_limit_is_on_time_whatever_a_thread_is_in,
      a_close_with_a_limit_is_on_time_beside_another_that_joins,
      a_close_goes_on_when_one_with_a_limit_gives_the_join_up,
      a_close_by_a_thread_of_the_pool_is_an_error_wherever_that_is,
      a_close_serves_a_call_of_a_threads_last_destructor,
      a_close_inside_a_call_of_a_thread_that_ends_is_an_error,
      a_close_ends_the_unfinished_call_of_a_thread_that_ends,
      a_close_that_forks_in_the_join_ends_in_the_child)
