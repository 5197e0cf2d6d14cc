/* SPDX-License-Identifier: ISC
 *
 * test_door.c: what weir_uv.h has beside libuv's call: limits, closed pools, cancel of a work
 * that runs, and a main on the loop.
 */
#include "uv_test.h"

#include <check.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

static uv_loop_t      loop;
static weir_uv_watch *watch;
static gate           entered, leave;
static int            came, last;

static void setup(void)
{
    came = 0, last = 1;
    gate_init(&entered), gate_init(&leave);
    ck_assert_int_eq(uv_loop_init(&loop), 0);
}
static void teardown(void)
{
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}

static void one_thread(unsigned limit)
{
    weir_pool_options opts = {.size = sizeof opts, .threads = 1, .queue_limit = limit};
    ck_assert_int_eq(weir_pool_open(&pool, &opts), 0);
}
static void held(uv_work_t *req)
{
    gate_add(&entered);
    gate_await(&leave, 1);
}
static void nothing(uv_work_t *req) {}
static void note(uv_work_t *req, int status) { came++, last = status; }

START_TEST(full_queue_says_again_and_calls_nothing)
{
    uv_work_t req[3];
    one_thread(1);
    ck_assert_int_eq(queue_work(&loop, &req[0], held, note), 0);
    gate_await(&entered, 1);
    ck_assert_int_eq(queue_work(&loop, &req[1], nothing, note), 0);
    ck_assert_int_eq(queue_work(&loop, &req[2], nothing, note), UV_EAGAIN);
    gate_add(&leave);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(came, 2);
    pool_close();
}
END_TEST

START_TEST(closed_pool_says_shutdown)
{
    uv_work_t req;
    one_thread(0);
    ck_assert_int_eq(weir_close(pool, WEIR_CLOSE), 0);
    ck_assert_int_eq(queue_work(&loop, &req, nothing, note), UV_ESHUTDOWN);
    ck_assert_int_eq(uv_loop_alive(&loop), 0);
    pool_close();
}
END_TEST

START_TEST(no_pool_is_invalid)
{
    uv_work_t req;
    ck_assert_int_eq(weir_uv_queue_work(NULL, &loop, &req, nothing, note), UV_EINVAL);
}
END_TEST

static void first_held(uv_work_t *req, int status) { came++; }
START_TEST(close_brings_queued_requests_back_cancelled)
{
    uv_work_t req[2];
    one_thread(0);
    ck_assert_int_eq(queue_work(&loop, &req[0], held, first_held), 0);
    gate_await(&entered, 1);
    ck_assert_int_eq(queue_work(&loop, &req[1], nothing, note), 0);
    ck_assert_int_eq(weir_close_async(pool, WEIR_CLOSE, NULL, NULL), 0);
    gate_add(&leave);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(came, 2);
    ck_assert_int_eq(last, UV_ECANCELED);
    pool_close();
}
END_TEST

enum { MANY = 5000 };
static int  next_back;
static void in_turn(uv_work_t *req, int status) { came += (intptr_t)req->data == next_back++; }
START_TEST(requests_of_one_thread_come_back_in_their_order)
{
    static uv_work_t req[MANY];
    next_back = 0;
    one_thread(0);
    for (int i = 0; i < MANY; i++) {
        req[i].data = (void *)(intptr_t)i;
        ck_assert_int_eq(queue_work(&loop, &req[i], nothing, in_turn), 0);
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(came, MANY);
    pool_close();
}
END_TEST

static void until_told(uv_work_t *req)
{
    gate_add(&entered);
    while (!weir_cancel_requested(weir_task_current()))
        continue;
}
START_TEST(work_that_runs_sees_the_cancel)
{
    uv_work_t req;
    one_thread(0);
    ck_assert_int_eq(queue_work(&loop, &req, until_told, note), 0);
    gate_await(&entered, 1);
    ck_assert_int_eq(weir_uv_cancel((uv_req_t *)&req), UV_EBUSY);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(last, 0);
    pool_close();
}
END_TEST

START_TEST(request_that_is_cancelled_is_busy)
{
    uv_work_t req[2];
    one_thread(0);
    ck_assert_int_eq(queue_work(&loop, &req[0], held, note), 0);
    gate_await(&entered, 1);
    ck_assert_int_eq(queue_work(&loop, &req[1], nothing, note), 0);
    ck_assert_int_eq(weir_uv_cancel((uv_req_t *)&req[1]), 0);
    ck_assert_int_eq(weir_uv_cancel((uv_req_t *)&req[1]), UV_EBUSY);
    gate_add(&leave);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(came, 2);
    pool_close();
}
END_TEST

START_TEST(loop_closes_while_a_cancelled_task_waits_for_its_thread)
{
    uv_work_t        req;
    static uv_work_t longer;
    uv_loop_t        other;
    one_thread(0);
    ck_assert_int_eq(uv_loop_init(&other), 0);
    ck_assert_int_eq(queue_work(&loop, &longer, held, note), 0);
    gate_await(&entered, 1);
    ck_assert_int_eq(queue_work(&other, &req, nothing, note), 0);
    ck_assert_int_eq(weir_uv_cancel((uv_req_t *)&req), 0);
    uv_run(&other, UV_RUN_DEFAULT);
    ck_assert_int_eq(last, UV_ECANCELED);
    ck_assert_int_eq(uv_loop_close(&other), 0);
    gate_add(&leave);
    uv_run(&loop, UV_RUN_DEFAULT);
    pool_close();
}
END_TEST

static void in_child(void)
{
    uv_work_t req;
    MUST(uv_loop_fork(&loop) == 0);
    weir_pool_release(pool);
    one_thread(0);
    for (int i = 0; i < 10; i++) {
        came = 0, last = 1;
        MUST(queue_work(&loop, &req, nothing, note) == 0);
        while (came == 0)
            uv_run(&loop, UV_RUN_ONCE);
        MUST(last == 0);
    }
    _exit(came != 1);
}
static void came_well(uv_work_t *req, int status) { MUST(status == 0), came += 100; }
static void fork_and_run(void (*child)(void))
{
    int   status;
    pid_t pid = fork();
    if (pid == 0)
        child();
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}
START_TEST(child_of_a_fork_misses_what_was_queued)
{
    uv_work_t req[2];
    one_thread(0);
    ck_assert_int_eq(queue_work(&loop, &req[0], held, came_well), 0);
    ck_assert_int_eq(queue_work(&loop, &req[1], nothing, came_well), 0);
    gate_await(&entered, 1);
    fork_and_run(in_child);
    gate_add(&leave);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(came, 200);
    pool_close();
}
END_TEST

START_TEST(child_of_a_fork_misses_what_was_on_its_way_and_nothing_else)
{
    uv_work_t     req[3];
    struct pollfd poll_loop = {.fd = uv_backend_fd(&loop), .events = POLLIN};
    one_thread(0);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(queue_work(&loop, &req[i], nothing, came_well), 0);
    uv_run(&loop, UV_RUN_NOWAIT); /* it watches its descriptor from now on */
    while (came < 300)
        uv_run(&loop, UV_RUN_ONCE);
    ck_assert_int_eq(queue_work(&loop, &req[0], nothing, came_well), 0);
    ck_assert_int_eq(queue_work(&loop, &req[1], held, came_well), 0);
    ck_assert_int_eq(queue_work(&loop, &req[2], nothing, came_well), 0);
    gate_await(&entered, 1);
    ck_assert_int_eq(poll(&poll_loop, 1, -1), 1);
    uv_mutex_lock(&loop.wq_mutex); /* the thread that woke the loop has let go of it */
    uv_mutex_unlock(&loop.wq_mutex);
    fork_and_run(in_child);
    gate_add(&leave);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(came, 600);
    pool_close();
}
END_TEST

/* ---- a main on the loop ----------------------------------------------------- */

static int wait_for_leave(weir_task *task, void *state)
{
    gate_add(&entered);
    gate_await(&leave, 1);
    return 0;
}
static void done(weir_task *task) { came++, last = weir_task_outcome(task); }

static void close_each(uv_handle_t *handle, void *arg) { uv_close(handle, NULL), ++*(int *)arg; }
START_TEST(main_survives_a_walk_and_holds_the_loop_while_busy)
{
    weir_task task = {.run = wait_for_leave, .done = done};
    int       seen = 0;
    one_thread(0);
    ck_assert_int_eq(weir_uv_attach(&loop, &watch), 0);
    ck_assert_int_eq(uv_loop_alive(&loop), 0);
    ck_assert_int_eq(weir_run(pool, &task, watch->main), 0);
    gate_await(&entered, 1);
    uv_walk(&loop, close_each, &seen);
    ck_assert_int_eq(seen, 0);
    ck_assert_int_eq(uv_loop_close(&loop), UV_EBUSY);
    ck_assert_int_eq(weir_uv_detach(watch), UV_EBUSY);
    gate_add(&leave);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(came, 1);
    ck_assert_int_eq(last, 0);
    ck_assert_int_eq(weir_uv_detach(watch), 0);
    ck_assert_int_eq(uv_loop_close(&loop), UV_EBUSY);
    pool_close();
}
END_TEST

static void answer(weir_call *call, void *arg) { weir_call_finish(call, 0, arg); }
static int  asked;
static void ask(uv_work_t *req)
{
    void *result = NULL;
    asked = weir_run_in_main(watch->main, answer, &asked, &result) == 0 && result == &asked;
}
START_TEST(work_calls_into_the_loop)
{
    uv_work_t req;
    one_thread(0);
    ck_assert_int_eq(weir_uv_attach(&loop, &watch), 0);
    ck_assert_int_eq(queue_work(&loop, &req, ask, note), 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(asked, 1);
    ck_assert_int_eq(weir_uv_detach(watch), 0);
    pool_close();
}
END_TEST

static void done_elsewhere(weir_task *task)
{
    if (weir_task_orphaned(task))
        gate_add(&entered);
}
static void end_with_a_task(void)
{
    static weir_task task = {.run = wait_for_leave, .done = done_elsewhere};
    one_thread(0);
    bool fine = weir_uv_attach(&loop, &watch) == 0 && weir_run(pool, &task, watch->main) == 0;
    gate_await(&entered, 1);
    fine = fine && weir_main_close(watch->main, WEIR_DETACH) == 0 && !uv_loop_alive(&loop);
    gate_add(&leave);
    gate_await(&entered, 2);
    _exit(fine ? 0 : 1);
}
START_TEST(process_may_end_with_a_task_once_its_main_is_closed_with_detach)
{
    fork_and_run(end_with_a_task);
}
END_TEST

START_TEST(detach_of_nothing_is_fine) { ck_assert_int_eq(weir_uv_detach(NULL), 0); }
END_TEST

int main(void)
{
    TCase *tests = tcase_create("door");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, full_queue_says_again_and_calls_nothing);
    tcase_add_test(tests, closed_pool_says_shutdown);
    tcase_add_test(tests, no_pool_is_invalid);
    tcase_add_test(tests, close_brings_queued_requests_back_cancelled);
    tcase_add_test(tests, requests_of_one_thread_come_back_in_their_order);
    tcase_add_test(tests, work_that_runs_sees_the_cancel);
    tcase_add_test(tests, request_that_is_cancelled_is_busy);
    tcase_add_test(tests, loop_closes_while_a_cancelled_task_waits_for_its_thread);
    tcase_add_test(tests, child_of_a_fork_misses_what_was_queued);
    tcase_add_test(tests, child_of_a_fork_misses_what_was_on_its_way_and_nothing_else);
    tcase_add_test(tests, main_survives_a_walk_and_holds_the_loop_while_busy);
    tcase_add_test(tests, work_calls_into_the_loop);
    tcase_add_test(tests, process_may_end_with_a_task_once_its_main_is_closed_with_detach);
    tcase_add_test(tests, detach_of_nothing_is_fine);
    return uv_run_suite(tests);
}
