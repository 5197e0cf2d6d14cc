/* SPDX-License-Identifier: ISC
 *
 * test_calls.c: what a user of uv_queue_work relies on. Built twice: on libuv's own call
 * (ON_LIBUV) and on weir_uv.h. The first build also runs with libweir-uv.so preloaded.
 */
#include "uv_test.h"

#include <check.h>
#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static uv_loop_t loop;
static gate      entered, leave;
static int       works, afters, last;

static void setup(void)
{
    works = afters = 0, last = 1;
    gate_init(&entered), gate_init(&leave);
    pool_open();
    ck_assert_int_eq(uv_loop_init(&loop), 0);
}
static void teardown(void)
{
    ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    pool_close();
}

static void count(uv_work_t *req) { __atomic_add_fetch(&works, 1, __ATOMIC_SEQ_CST); }
static void held(uv_work_t *req)
{
    gate_add(&entered);
    gate_await(&leave, 1);
}
static void note(uv_work_t *req, int status) { afters++, last = status; }

/* Fills every thread of the pool with work that waits for `leave`. */
static uv_work_t full[THREADS];
static void      fill(void)
{
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(queue_work(&loop, &full[i], held, note), 0);
    gate_await(&entered, THREADS);
}

static pthread_t worked_on, came_on;
static void      where_work(uv_work_t *req) { worked_on = pthread_self(); }
static void where_after(uv_work_t *req, int status) { came_on = pthread_self(), last = status; }
START_TEST(work_runs_on_another_thread_and_after_on_the_loops)
{
    uv_work_t req;
    ck_assert_int_eq(queue_work(&loop, &req, where_work, where_after), 0);
    ck_assert_int_eq(req.type, UV_WORK);
    ck_assert_ptr_eq(req.loop, &loop);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(last, 0);
    ck_assert(pthread_equal(came_on, pthread_self()));
    ck_assert(!pthread_equal(worked_on, pthread_self()));
}
END_TEST

START_TEST(request_without_work_is_invalid)
{
    uv_work_t req;
    ck_assert_int_eq(queue_work(&loop, &req, NULL, note), UV_EINVAL);
    ck_assert_int_eq(uv_loop_alive(&loop), 0);
}
END_TEST

START_TEST(after_may_be_missing)
{
    uv_work_t req;
    ck_assert_int_eq(queue_work(&loop, &req, count, NULL), 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(works, 1);
}
END_TEST

START_TEST(data_of_a_request_is_its_users)
{
    uv_work_t req = {.data = &works};
    ck_assert_int_eq(queue_work(&loop, &req, count, note), 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_ptr_eq(req.data, &works);
}
END_TEST

START_TEST(queued_request_is_cancelled_and_comes_back_in_the_loop)
{
    uv_work_t req;
    fill();
    ck_assert_int_eq(queue_work(&loop, &req, count, note), 0);
    ck_assert_int_eq(cancel((uv_req_t *)&req), 0);
    ck_assert_int_eq(afters, 0);
    while (afters == 0)
        uv_run(&loop, UV_RUN_ONCE);
    ck_assert_int_eq(last, UV_ECANCELED);
    gate_add(&leave);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(works, 0);
    ck_assert_int_eq(afters, THREADS + 1);
}
END_TEST

START_TEST(request_that_runs_or_has_run_is_busy)
{
    fill();
    ck_assert_int_eq(cancel((uv_req_t *)&full[0]), UV_EBUSY);
    gate_add(&leave);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(last, 0);
    ck_assert_int_eq(cancel((uv_req_t *)&full[0]), UV_EBUSY);
}
END_TEST

enum { MANY = 16 };
static uv_work_t many[MANY];
static int       cancelled;
static void      queue_many(void)
{
    cancelled = 0;
    for (int i = 0; i < MANY; i++)
        ck_assert_int_eq(queue_work(&loop, &many[i], count, note), 0);
}
static void cancel_many(void)
{
    for (int i = 0; i < MANY; i++)
        cancelled += cancel((uv_req_t *)&many[i]) == 0;
}

static void on_timer(uv_timer_t *timer)
{
    cancel_many();
    uv_close((uv_handle_t *)timer, NULL);
}
START_TEST(requests_that_a_timer_cancels_come_back_before_a_thread_is_free)
{
    uv_timer_t timer;
    fill();
    queue_many();
    ck_assert_int_eq(uv_timer_init(&loop, &timer), 0);
    ck_assert_int_eq(uv_timer_start(&timer, on_timer, 0, 0), 0);
    while (afters < MANY)
        uv_run(&loop, UV_RUN_ONCE);
    ck_assert_int_eq(last, UV_ECANCELED);
    gate_add(&leave);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(cancelled, MANY);
    ck_assert_int_eq(works, 0);
    ck_assert_int_eq(afters, MANY + THREADS);
}
END_TEST

static void note_and_cancel_many(uv_work_t *req, int status)
{
    note(req, status);
    if (afters == 1)
        cancel_many();
}
START_TEST(requests_are_cancelled_in_the_after_of_another)
{
    uv_work_t first;
    ck_assert_int_eq(queue_work(&loop, &first, held, note_and_cancel_many), 0);
    gate_await(&entered, 1);
    for (int i = 1; i < THREADS; i++)
        ck_assert_int_eq(queue_work(&loop, &full[i], held, note), 0);
    gate_await(&entered, THREADS);
    queue_many();
    gate_add(&leave);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(works + cancelled, MANY);
    ck_assert_int_eq(afters, MANY + THREADS);
}
END_TEST

static int  inside;
static void cancel_inside(uv_work_t *req, int status) { inside = cancel((uv_req_t *)req); }
START_TEST(cancel_inside_after_is_busy)
{
    uv_work_t req;
    ck_assert_int_eq(queue_work(&loop, &req, count, cancel_inside), 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(inside, UV_EBUSY);
}
END_TEST

START_TEST(request_of_another_kind_cannot_be_cancelled)
{
    uv_connect_t req = {.type = UV_CONNECT};
    ck_assert_int_eq(cancel((uv_req_t *)&req), UV_EINVAL);
}
END_TEST

START_TEST(loop_is_alive_and_not_closed_while_a_request_is_out)
{
    fill();
    ck_assert_int_ne(uv_loop_alive(&loop), 0);
    ck_assert_int_eq(uv_loop_close(&loop), UV_EBUSY);
    ck_assert_int_ne(uv_run(&loop, UV_RUN_NOWAIT), 0);
    gate_add(&leave);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_alive(&loop), 0);
}
END_TEST

static void close_each(uv_handle_t *handle, void *arg) { uv_close(handle, NULL), ++*(int *)arg; }
START_TEST(walk_that_closes_all_handles_finds_none)
{
    int seen = 0;
    fill();
    uv_walk(&loop, close_each, &seen);
    ck_assert_int_eq(seen, 0);
    gate_add(&leave);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(afters, THREADS);
}
END_TEST

static void again(uv_work_t *req, int status)
{
    if (++afters < 1000)
        ck_assert_int_eq(queue_work(&loop, req, count, again), 0);
}
START_TEST(after_may_queue_its_request_again)
{
    uv_work_t req;
    ck_assert_int_eq(queue_work(&loop, &req, count, again), 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(works, 1000);
}
END_TEST

static void note_and_stop(uv_work_t *req, int status)
{
    note(req, status);
    uv_stop(&loop);
}
START_TEST(stop_in_after_leaves_what_is_out_for_the_next_run)
{
    uv_work_t req;
    fill();
    ck_assert_int_eq(queue_work(&loop, &req, count, note_and_stop), 0);
    ck_assert_int_eq(cancel((uv_req_t *)&req), 0);
    ck_assert_int_ne(uv_run(&loop, UV_RUN_DEFAULT), 0);
    ck_assert_int_eq(afters, 1);
    gate_add(&leave);
    ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
    ck_assert_int_eq(afters, 1 + THREADS);
}
END_TEST

static void give_back(uv_work_t *req, int status) { free(req), afters++; }
START_TEST(after_may_free_its_request)
{
    for (int i = 0; i < 5000; i++)
        ck_assert_int_eq(queue_work(&loop, malloc(sizeof(uv_work_t)), count, give_back), 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(works, 5000);
    ck_assert_int_eq(afters, 5000);
}
END_TEST

static void  one_more(uv_work_t *req, int status) { ++*(int *)req->data; }
static void *own_loop(void *arg)
{
    uv_loop_t mine;
    int       came = 0;
    MUST(uv_loop_init(&mine) == 0);
    for (int i = 0; i < 200; i++) {
        uv_work_t req = {.data = &came};
        MUST(queue_work(&mine, &req, count, one_more) == 0);
        uv_run(&mine, UV_RUN_DEFAULT);
    }
    MUST(uv_loop_close(&mine) == 0);
    return came == 200 ? arg : NULL;
}
START_TEST(loops_on_several_threads_each_get_their_own)
{
    pthread_t threads[4];
    void     *result;
    for (int i = 0; i < 4; i++)
        MUST(pthread_create(&threads[i], NULL, own_loop, &loop) == 0);
    for (int i = 0; i < 4; i++) {
        MUST(pthread_join(threads[i], &result) == 0);
        ck_assert_ptr_eq(result, &loop);
    }
    ck_assert_int_eq(works, 800);
}
END_TEST

static void note_loop(uv_work_t *req, int status) { ++*(int *)req->loop->data; }
START_TEST(loops_of_one_thread_each_get_their_own)
{
    uv_loop_t other;
    uv_work_t req[2 * MANY];
    int       came = 0, came_other = 0;
    ck_assert_int_eq(uv_loop_init(&other), 0);
    loop.data = &came, other.data = &came_other;
    for (int i = 0; i < 2 * MANY; i++)
        ck_assert_int_eq(queue_work(i % 2 ? &loop : &other, &req[i], count, note_loop), 0);
    uv_run(&other, UV_RUN_DEFAULT);
    ck_assert_int_eq(came_other, MANY);
    ck_assert_int_eq(came, 0);
    ck_assert_int_eq(uv_loop_close(&other), 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(came, MANY);
}
END_TEST

START_TEST(request_goes_to_another_loop_after_it_came_back)
{
    uv_loop_t other;
    uv_work_t req;
    ck_assert_int_eq(uv_loop_init(&other), 0);
    for (int i = 0; i < 10; i++) {
        ck_assert_int_eq(queue_work(i % 2 ? &loop : &other, &req, count, note), 0);
        uv_run(i % 2 ? &loop : &other, UV_RUN_DEFAULT);
        ck_assert_int_eq(afters, i + 1);
    }
    ck_assert_int_eq(uv_loop_close(&other), 0);
}
END_TEST

static void child_of_loops(uv_loop_t *other)
{
    uv_work_t req[2];
    MUST(uv_loop_fork(&loop) == 0 && uv_loop_fork(other) == 0);
    pool_reopen();
    for (int i = 0; i < 10; i++) {
        MUST(queue_work(&loop, &req[0], count, note) == 0);
        MUST(queue_work(other, &req[1], count, note) == 0);
        MUST(uv_run(&loop, UV_RUN_DEFAULT) == 0 && uv_run(other, UV_RUN_DEFAULT) == 0);
    }
    _exit(afters != 2 + 20 || last != 0);
}
START_TEST(forked_child_queues_on_each_of_its_loops)
{
    uv_loop_t other;
    uv_work_t req[2];
    int       status;
    pid_t     pid;
    ck_assert_int_eq(uv_loop_init(&other), 0);
    ck_assert_int_eq(queue_work(&loop, &req[0], count, note), 0);
    ck_assert_int_eq(queue_work(&other, &req[1], count, note), 0);
    uv_run(&loop, UV_RUN_DEFAULT), uv_run(&other, UV_RUN_DEFAULT);
    if ((pid = fork()) == 0)
        child_of_loops(&other);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(queue_work(&other, &req[1], count, note), 0);
    uv_run(&other, UV_RUN_DEFAULT);
    ck_assert_int_eq(afters, 3);
    ck_assert_int_eq(uv_loop_close(&other), 0);
}
END_TEST

static void *loop_beside_forks(void *arg)
{
    uv_loop_t mine;
    int       came = 0;
    MUST(uv_loop_init(&mine) == 0);
    while (gate_count(arg) == 0) {
        uv_work_t req = {.data = &came};
        MUST(queue_work(&mine, &req, count, one_more) == 0);
        uv_run(&mine, UV_RUN_DEFAULT);
    }
    MUST(uv_loop_close(&mine) == 0);
    return NULL;
}
static void child(void)
{
    uv_work_t req;
    MUST(uv_loop_fork(&loop) == 0);
    pool_reopen();
    for (afters = 0; afters < 10; last = 1) {
        MUST(queue_work(&loop, &req, count, note) == 0);
        uv_run(&loop, UV_RUN_DEFAULT);
        MUST(last == 0);
    }
    _exit(0);
}
static void fork_one_child(void)
{
    int   status;
    pid_t pid = fork();
    if (pid == 0)
        child();
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}
/* Otherwise the other thread may hold a lock that nobody gives back in the child: a mutex of
 * libuv's, or the one of ASan's allocator. */
static bool may_fork_beside_a_loop(void)
{
#ifdef __SANITIZE_ADDRESS__
    return false;
#else
    return doors();
#endif
}
START_TEST(forks_beside_a_loop_of_another_thread_leave_it_alone)
{
    gate      enough;
    pthread_t thread;
    uv_work_t req;
    if (!may_fork_beside_a_loop())
        return;
    gate_init(&enough);
    MUST(pthread_create(&thread, NULL, loop_beside_forks, &enough) == 0);
    for (int i = 0; i < 20; i++)
        fork_one_child();
    gate_add(&enough);
    MUST(pthread_join(thread, NULL) == 0);
    ck_assert_int_eq(queue_work(&loop, &req, count, note), 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(last, 0);
}
END_TEST

START_TEST(fork_that_finds_the_loop_locked_and_work_queued_does_not_wait)
{
    uv_work_t req;
    int       status;
    pid_t     pid;
    fill();
    ck_assert_int_eq(queue_work(&loop, &req, count, note), 0);
    uv_mutex_lock(&loop.wq_mutex);
    if ((pid = fork()) == 0) {
        pool_reopen();
        _exit(0);
    }
    uv_mutex_unlock(&loop.wq_mutex);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    gate_add(&leave);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(afters, THREADS + 1);
}
END_TEST

START_TEST(forked_child_queues_work_of_its_own)
{
    uv_work_t req;
    ck_assert_int_eq(queue_work(&loop, &req, count, note), 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    fork_one_child();
    ck_assert_int_eq(queue_work(&loop, &req, count, note), 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(afters, 2);
}
END_TEST

static void stats(uv_fs_t *req) { last = (int)req->result, afters++, uv_fs_req_cleanup(req); }
START_TEST(file_request_passes_work_that_fills_the_pool)
{
    uv_fs_t req;
    if (!doors())
        return; /* libuv has one pool */
    fill();
    ck_assert_int_eq(uv_fs_stat(&loop, &req, "/", stats), 0);
    while (afters == 0)
        uv_run(&loop, UV_RUN_ONCE);
    ck_assert_int_eq(last, 0);
    gate_add(&leave);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("calls");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, work_runs_on_another_thread_and_after_on_the_loops);
    tcase_add_test(tests, request_without_work_is_invalid);
    tcase_add_test(tests, after_may_be_missing);
    tcase_add_test(tests, data_of_a_request_is_its_users);
    tcase_add_test(tests, queued_request_is_cancelled_and_comes_back_in_the_loop);
    tcase_add_test(tests, request_that_runs_or_has_run_is_busy);
    tcase_add_test(tests, requests_that_a_timer_cancels_come_back_before_a_thread_is_free);
    tcase_add_test(tests, requests_are_cancelled_in_the_after_of_another);
    tcase_add_test(tests, cancel_inside_after_is_busy);
    tcase_add_test(tests, request_of_another_kind_cannot_be_cancelled);
    tcase_add_test(tests, loop_is_alive_and_not_closed_while_a_request_is_out);
    tcase_add_test(tests, walk_that_closes_all_handles_finds_none);
    tcase_add_test(tests, after_may_queue_its_request_again);
    tcase_add_test(tests, stop_in_after_leaves_what_is_out_for_the_next_run);
    tcase_add_test(tests, after_may_free_its_request);
    tcase_add_test(tests, loops_on_several_threads_each_get_their_own);
    tcase_add_test(tests, loops_of_one_thread_each_get_their_own);
    tcase_add_test(tests, request_goes_to_another_loop_after_it_came_back);
    tcase_add_test(tests, forked_child_queues_on_each_of_its_loops);
    tcase_add_test(tests, forks_beside_a_loop_of_another_thread_leave_it_alone);
    tcase_add_test(tests, fork_that_finds_the_loop_locked_and_work_queued_does_not_wait);
    tcase_add_test(tests, forked_child_queues_work_of_its_own);
    tcase_add_test(tests, file_request_passes_work_that_fills_the_pool);
    return uv_run_suite(tests);
}
