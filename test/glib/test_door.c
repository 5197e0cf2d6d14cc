/* SPDX-License-Identifier: ISC
 *
 * test_door.c: what weir_glib.h has beside GLib's call: limits, closed pools, queued tasks that
 * are cancelled, levels, and a main in a context.
 */
#include "glib_test.h"

#include <string.h>
#include <sys/wait.h>

static gate   entered, leave;
static answer got;
static int    runs;

static void setup(void)
{
    entered.n = leave.n = runs = 0;
    got = (answer){0};
}
static void teardown(void) { g_clear_error(&got.error); }

static void held(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    gate_add(&entered);
    gate_await(&leave, 1);
    g_task_return_int(task, 1);
}
static void counts(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    __atomic_add_fetch(&runs, 1, __ATOMIC_SEQ_CST);
    g_task_return_int(task, 2);
}

static void run(GCancellable *cancellable, answer *a, GTaskThreadFunc fn)
{
    GTask *task = g_task_new(NULL, cancellable, answered, a);
    weir_g_task_run(task, pool, fn);
    g_object_unref(task);
}

static answer held_answer;
static void   one_thread_that_is_held(weir_pool_options opts)
{
    opts.threads = 1;
    held_answer = (answer){0};
    pool_open_with(opts);
    run(NULL, &held_answer, held);
    gate_await(&entered, 1);
}
static void let_go(void)
{
    gate_add(&leave);
    until_answered(&held_answer, 1);
    ck_assert_int_eq(held_answer.value, 1);
    pool_close();
}

START_TEST(full_queue_would_block)
{
    answer queued = {0};
    one_thread_that_is_held((weir_pool_options){.queue_limit = 1});
    run(NULL, &queued, counts);
    run(NULL, &got, counts);
    ck_assert_int_eq(got.times, 0);
    until_answered(&got, 1);
    expect_error(&got, G_IO_ERROR_WOULD_BLOCK);
    ck_assert_str_eq(got.error->message, weir_strerror(WEIR_EFULL));
    gate_add(&leave);
    until_answered(&queued, 1);
    ck_assert_int_eq(queued.value, 2);
    let_go();
}
END_TEST

START_TEST(closed_pool_is_closed)
{
    GCancellable *cancellable = g_cancellable_new();
    pool_open();
    ck_assert_int_eq(weir_close(pool, WEIR_CLOSE), 0);
    run(cancellable, &got, counts);
    until_answered(&got, 1);
    expect_error(&got, G_IO_ERROR_CLOSED);
    g_cancellable_cancel(cancellable);
    g_object_unref(cancellable);
    pool_close();
}
END_TEST

START_TEST(close_brings_queued_tasks_back)
{
    one_thread_that_is_held((weir_pool_options){0});
    run(NULL, &got, counts);
    ck_assert_int_eq(weir_close_async(pool, WEIR_CLOSE, NULL, NULL), 0);
    let_go();
    until_answered(&got, 1);
    expect_error(&got, G_IO_ERROR_CLOSED);
    ck_assert_int_eq(runs, 0);
}
END_TEST

static void end_of_the_pool(void)
{
    before_error = NULL;
    gate_add(&leave);
    MUST(weir_close(pool, WEIR_CLOSE) == 0);
}
START_TEST(cancelled_task_is_settled_while_its_error_is_returned)
{
    GCancellable *cancellable = g_cancellable_new();
    one_thread_that_is_held((weir_pool_options){0});
    run(cancellable, &got, counts);
    before_error = end_of_the_pool;
    g_cancellable_cancel(cancellable);
    until_answered(&got, 1);
    expect_error(&got, G_IO_ERROR_CANCELLED);
    let_go();
    g_object_unref(cancellable);
}
END_TEST

START_TEST(cancelled_queued_task_comes_back_while_all_threads_are_busy)
{
    GCancellable *cancellable = g_cancellable_new();
    one_thread_that_is_held((weir_pool_options){0});
    run(cancellable, &got, counts);
    g_cancellable_cancel(cancellable);
    ck_assert_int_eq(got.times, 0); /* not inside the cancel */
    until_answered(&got, 1);
    expect_error(&got, G_IO_ERROR_CANCELLED);
    let_go();
    while (g_main_context_iteration(NULL, FALSE))
        continue;
    ck_assert_int_eq(got.times, 1);
    ck_assert_int_eq(runs, 0);
    g_object_unref(cancellable);
}
END_TEST

START_TEST(queued_task_that_does_not_check_runs_though_cancelled)
{
    GCancellable *cancellable = g_cancellable_new();
    GTask        *task = g_task_new(NULL, cancellable, answered, &got);
    one_thread_that_is_held((weir_pool_options){0});
    g_task_set_check_cancellable(task, FALSE);
    weir_g_task_run(task, pool, counts);
    g_object_unref(task);
    g_cancellable_cancel(cancellable);
    gate_add(&leave);
    until_answered(&got, 1);
    ck_assert_int_eq(got.value, 2);
    let_go();
    g_object_unref(cancellable);
}
END_TEST

START_TEST(purge_brings_queued_tasks_back_cancelled)
{
    one_thread_that_is_held((weir_pool_options){0});
    run(NULL, &got, counts);
    ck_assert_int_eq(weir_pool_purge(pool), 1);
    let_go();
    until_answered(&got, 1);
    expect_error(&got, G_IO_ERROR_CANCELLED);
}
END_TEST

static void until_told(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    gate_add(&entered);
    while (!weir_cancel_requested(weir_task_current()))
        continue;
    g_task_return_int(task, 1);
}
START_TEST(running_task_is_asked_by_weir_as_well)
{
    GCancellable *cancellable = g_cancellable_new();
    pool_open();
    run(cancellable, &got, until_told);
    gate_await(&entered, 1);
    g_cancellable_cancel(cancellable);
    until_answered(&got, 1);
    expect_error(&got, G_IO_ERROR_CANCELLED);
    g_object_unref(cancellable);
    pool_close();
}
END_TEST

/* A lazy pool at rest has no thread: the cancel itself brings the task back. */
START_TEST(cancel_in_a_pool_without_a_thread_brings_the_task_back)
{
    GCancellable *cancellable = g_cancellable_new();
    pool_open_with((weir_pool_options){.lazy = true, .threads = 1});
    ck_assert_int_eq(weir_pool_pause(pool), 0);
    run(cancellable, &got, counts);
    g_cancellable_cancel(cancellable);
    ck_assert_int_eq(got.times, 0); /* not inside the cancel */
    until_answered(&got, 1);
    expect_error(&got, G_IO_ERROR_CANCELLED);
    g_object_unref(cancellable);
    pool_close();
}
END_TEST

START_TEST(pool_that_is_released_ends_after_its_tasks)
{
    GCancellable *cancellable = g_cancellable_new();
    pool_open();
    run(cancellable, &got, held);
    gate_await(&entered, 1);
    weir_pool_release(pool);
    g_cancellable_cancel(cancellable);
    gate_add(&leave);
    until_answered(&got, 1);
    expect_error(&got, G_IO_ERROR_CANCELLED);
    g_object_unref(cancellable);
}
END_TEST

static int  order[3], ordered;
static void notes(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    order[ordered++] = g_task_get_priority(task);
    g_task_return_int(task, 1);
}
START_TEST(priority_of_the_task_chooses_the_level)
{
    static const int given[3] = {G_PRIORITY_DEFAULT_IDLE, G_PRIORITY_DEFAULT, G_PRIORITY_HIGH};
    ordered = 0;
    one_thread_that_is_held((weir_pool_options){0});
    for (int i = 0; i < 3; i++) {
        GTask *task = g_task_new(NULL, NULL, answered, &got);
        g_task_set_priority(task, given[i]);
        weir_g_task_run(task, pool, notes);
        g_object_unref(task);
    }
    gate_add(&leave);
    until_answered(&got, 3);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(order[i], given[2 - i]);
    let_go();
}
END_TEST

static void in_child(answer *queued)
{
    weir_pool *parents = pool;
    pool_open();
    weir_pool_release(parents);
    run(NULL, &got, counts); /* a child has no thread of GLib's */
    pool_close();
    _exit(queued->times != 0 || runs > 1);
}
START_TEST(child_of_a_fork_is_told_nothing_of_before)
{
    answer queued = {0};
    int    status;
    pid_t  pid;
    one_thread_that_is_held((weir_pool_options){0});
    run(NULL, &queued, counts);
    if ((pid = fork()) == 0)
        in_child(&queued);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    gate_add(&leave);
    until_answered(&queued, 1);
    ck_assert_int_eq(queued.value, 2);
    let_go();
}
END_TEST

START_TEST(every_code_has_an_error_with_its_sentence)
{
    ck_assert_ptr_null(weir_g_error_new(0));
    for (int code = -1; code >= -15; code--) {
        GError *error = weir_g_error_new(code);
        ck_assert_int_eq(error->domain, G_IO_ERROR);
        ck_assert_str_eq(error->message, weir_strerror(code));
        g_error_free(error);
    }
}
END_TEST

/* ---- a main in a context ---------------------------------------------------- */

static weir_main *main_here;
static GSource   *source;
static int        dones;

static void attach(void)
{
    dones = 0;
    ck_assert_int_eq(weir_main_open(&main_here), 0);
    source = weir_g_source_new(main_here);
    g_source_attach(source, NULL);
    pool_open();
}
static void detach(void)
{
    g_source_destroy(source);
    g_source_unref(source);
    ck_assert_int_eq(weir_main_close(main_here, 0), 0);
    pool_close();
}

static int  nothing(weir_task *task, void *state) { return 0; }
static void done(weir_task *task) { dones++; }
START_TEST(source_dispatches_its_main)
{
    weir_task task = {.run = nothing, .done = done};
    attach();
    ck_assert_int_eq(weir_run(pool, &task, main_here), 0);
    while (dones == 0)
        g_main_context_iteration(NULL, TRUE);
    while (g_main_context_iteration(NULL, FALSE))
        ck_assert_int_eq(dones, 1);
    detach();
}
END_TEST

static void loop_inside(weir_task *task)
{
    while (dones < 2)
        g_main_context_iteration(NULL, TRUE);
    dones++;
}
START_TEST(loop_inside_a_callback_goes_on_with_the_rest)
{
    weir_task first = {.run = nothing, .done = loop_inside};
    weir_task rest[2] = {{.run = nothing, .done = done}, {.run = nothing, .done = done}};
    attach();
    ck_assert_int_eq(weir_run(pool, &first, main_here), 0);
    while (weir_task_get_state(&first) != WEIR_TASK_SETTLED)
        g_thread_yield();
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(weir_run(pool, &rest[i], main_here), 0);
    while (weir_task_get_state(&rest[0]) != WEIR_TASK_SETTLED ||
           weir_task_get_state(&rest[1]) != WEIR_TASK_SETTLED)
        g_thread_yield();
    while (dones < 3)
        g_main_context_iteration(NULL, TRUE);
    detach();
}
END_TEST

static void answer_call(weir_call *call, void *arg) { weir_call_finish(call, 0, arg); }
static void asks(GTask *task, gpointer unused, gpointer data, GCancellable *cancellable)
{
    void *result = NULL;
    int   code = weir_run_in_main(main_here, answer_call, &got, &result);
    g_task_return_int(task, code == 0 && result == &got);
}
START_TEST(fn_calls_into_the_loop)
{
    attach();
    run(NULL, &got, asks);
    until_answered(&got, 1);
    ck_assert_int_eq(got.value, 1);
    detach();
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("door");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, full_queue_would_block);
    tcase_add_test(tests, closed_pool_is_closed);
    tcase_add_test(tests, close_brings_queued_tasks_back);
    tcase_add_test(tests, cancelled_queued_task_comes_back_while_all_threads_are_busy);
    tcase_add_test(tests, cancelled_task_is_settled_while_its_error_is_returned);
    tcase_add_test(tests, queued_task_that_does_not_check_runs_though_cancelled);
    tcase_add_test(tests, purge_brings_queued_tasks_back_cancelled);
    tcase_add_test(tests, running_task_is_asked_by_weir_as_well);
    tcase_add_test(tests, cancel_in_a_pool_without_a_thread_brings_the_task_back);
    tcase_add_test(tests, pool_that_is_released_ends_after_its_tasks);
    tcase_add_test(tests, priority_of_the_task_chooses_the_level);
    tcase_add_test(tests, child_of_a_fork_is_told_nothing_of_before);
    tcase_add_test(tests, every_code_has_an_error_with_its_sentence);
    tcase_add_test(tests, source_dispatches_its_main);
    tcase_add_test(tests, loop_inside_a_callback_goes_on_with_the_rest);
    tcase_add_test(tests, fn_calls_into_the_loop);
    return glib_run_suite(tests);
}
