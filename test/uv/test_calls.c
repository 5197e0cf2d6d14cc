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
START_TEST(forked_child_queues_work_of_its_own)
{
    uv_work_t req;
    int       status;
    pid_t     pid;
    ck_assert_int_eq(queue_work(&loop, &req, count, note), 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    if ((pid = fork()) == 0)
        child();
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
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
    tcase_add_test(tests, cancel_inside_after_is_busy);
    tcase_add_test(tests, request_of_another_kind_cannot_be_cancelled);
    tcase_add_test(tests, loop_is_alive_and_not_closed_while_a_request_is_out);
    tcase_add_test(tests, walk_that_closes_all_handles_finds_none);
    tcase_add_test(tests, after_may_queue_its_request_again);
    tcase_add_test(tests, after_may_free_its_request);
    tcase_add_test(tests, loops_on_several_threads_each_get_their_own);
    tcase_add_test(tests, forked_child_queues_work_of_its_own);
    tcase_add_test(tests, file_request_passes_work_that_fills_the_pool);
    return uv_run_suite(tests);
}
