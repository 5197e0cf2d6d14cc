/* SPDX-License-Identifier: ISC
 *
 * test_calls.c: what a user of g_task_run_in_thread relies on. Built twice: on GLib's own call
 * (ON_GLIB) and on weir_glib.h.
 */
#include "glib_test.h"

static gate   entered, leave, ended;
static answer got;

static void setup(void)
{
    entered.n = leave.n = ended.n = 0;
    got = (answer){0};
    pool_open();
}
static void teardown(void)
{
    g_clear_error(&got.error);
    pool_close();
}

static GTask *task_of(GCancellable *cancellable, answer *a)
{
    return g_task_new(NULL, cancellable, answered, a);
}
static void run(GTask *task, GTaskThreadFunc fn) /* and drop it */
{
    task_run(task, fn);
    g_object_unref(task);
}

static void returns_42(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    g_task_return_int(task, 42);
}
static void held(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    gate_add(&entered);
    gate_await(&leave, 1);
    g_task_return_int(task, 42);
    gate_add(&ended);
}

static GThread *worked_on;
static void     where(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    worked_on = g_thread_self();
    g_task_return_int(task, 7);
}
START_TEST(fn_runs_on_another_thread_and_callback_on_the_contexts)
{
    run(task_of(NULL, &got), where);
    until_answered(&got, 1);
    ck_assert_int_eq(got.value, 7);
    ck_assert_ptr_eq(got.thread, g_thread_self());
    ck_assert_ptr_ne(worked_on, g_thread_self());
}
END_TEST

static void looks(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    bool same = source == g_task_get_source_object(task) && data == &got && cancellable != NULL &&
                cancellable == g_task_get_cancellable(task);
    g_task_return_int(task, same);
}
START_TEST(fn_gets_source_object_data_and_cancellable)
{
    GCancellable *cancellable = g_cancellable_new();
    GObject      *source = g_object_new(G_TYPE_OBJECT, NULL);
    GTask        *task = g_task_new(source, cancellable, answered, &got);
    g_task_set_task_data(task, &got, NULL);
    run(task, looks);
    until_answered(&got, 1);
    ck_assert_int_eq(got.value, 1);
    g_object_unref(source);
    g_object_unref(cancellable);
}
END_TEST

static void adds(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    g_task_return_int(task, 1);
    gate_add(&ended);
}
START_TEST(callback_waits_for_the_loop)
{
    run(task_of(NULL, &got), adds);
    gate_await(&ended, 1);
    ck_assert_int_eq(got.times, 0);
    until_answered(&got, 1);
    ck_assert_int_eq(got.value, 1);
}
END_TEST

static void fails(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    g_task_return_new_error(task, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "no %s", "such");
}
START_TEST(error_of_fn_comes_through)
{
    run(task_of(NULL, &got), fails);
    until_answered(&got, 1);
    expect_error(&got, G_IO_ERROR_NOT_FOUND);
    ck_assert_str_eq(got.error->message, "no such");
}
END_TEST

static void gives_text(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    g_task_return_pointer(task, g_strdup("text"), g_free);
}
static void takes_text(GObject *source, GAsyncResult *result, gpointer data)
{
    *(char **)data = g_task_propagate_pointer(G_TASK(result), NULL);
}
START_TEST(pointer_is_handed_over)
{
    char *text = NULL;
    run(g_task_new(NULL, NULL, takes_text, &text), gives_text);
    while (!text)
        g_main_context_iteration(NULL, TRUE);
    ck_assert_str_eq(text, "text");
    g_free(text);
}
END_TEST

START_TEST(callback_may_be_missing)
{
    run(g_task_new(NULL, NULL, NULL, NULL), adds);
    gate_await(&ended, 1);
}
END_TEST

static void again(GObject *source, GAsyncResult *result, gpointer data)
{
    answered(source, result, data);
    if (got.times < 200)
        run(g_task_new(NULL, NULL, again, data), returns_42);
}
START_TEST(callback_may_run_the_next_task)
{
    run(g_task_new(NULL, NULL, again, &got), returns_42);
    until_answered(&got, 200);
    ck_assert_int_eq(got.value, 42);
}
END_TEST

START_TEST(many_tasks_all_come_back)
{
    for (int i = 0; i < 2000; i++)
        run(task_of(NULL, &got), returns_42);
    until_answered(&got, 2000);
    while (g_main_context_iteration(NULL, FALSE))
        continue;
    ck_assert_int_eq(got.times, 2000);
}
END_TEST

static gpointer own_context(gpointer data)
{
    GMainContext *context = g_main_context_new();
    answer        mine = {0};
    g_main_context_push_thread_default(context);
    for (int i = 0; i < 100; i++) {
        run(task_of(NULL, &mine), returns_42);
        until_answered(&mine, i + 1);
        MUST(mine.thread == g_thread_self() && mine.value == 42);
    }
    g_main_context_pop_thread_default(context);
    g_main_context_unref(context);
    return data;
}
START_TEST(contexts_on_several_threads_each_get_their_own)
{
    GThread *threads[4];
    for (int i = 0; i < 4; i++)
        threads[i] = g_thread_new("own", own_context, &got);
    for (int i = 0; i < 4; i++)
        ck_assert_ptr_eq(g_thread_join(threads[i]), &got);
}
END_TEST

static void set_gone(gpointer data) { gate_add(data); }
START_TEST(data_and_source_live_until_the_task_is_gone)
{
    gate     gone = {0};
    GObject *source = g_object_new(G_TYPE_OBJECT, NULL);
    GTask   *task = g_task_new(source, NULL, answered, &got);
    g_task_set_task_data(task, &gone, set_gone);
    g_object_add_weak_pointer(source, (gpointer *)&source);
    g_object_unref(source);
    run(task, held);
    gate_await(&entered, 1);
    ck_assert_ptr_nonnull(source);
    ck_assert_int_eq(gate_count(&gone), 0);
    gate_add(&leave);
    until_answered(&got, 1);
    gate_await(&gone, 1); /* the thread may be the last to let go */
    ck_assert_ptr_null(source);
}
END_TEST

/* ---- cancel ---- */

START_TEST(task_cancelled_before_comes_back_cancelled)
{
    GCancellable *cancellable = g_cancellable_new();
    g_cancellable_cancel(cancellable);
    run(task_of(cancellable, &got), returns_42);
    until_answered(&got, 1);
    expect_error(&got, G_IO_ERROR_CANCELLED);
    g_object_unref(cancellable);
}
END_TEST

START_TEST(running_task_that_is_cancelled_comes_back_cancelled_when_it_ends)
{
    GCancellable *cancellable = g_cancellable_new();
    run(task_of(cancellable, &got), held);
    gate_await(&entered, 1);
    g_cancellable_cancel(cancellable);
    while (g_main_context_iteration(NULL, FALSE))
        continue;
    ck_assert_int_eq(got.times, 0);
    gate_add(&leave);
    until_answered(&got, 1);
    expect_error(&got, G_IO_ERROR_CANCELLED);
    g_object_unref(cancellable);
}
END_TEST

START_TEST(task_that_does_not_check_returns_its_result)
{
    GCancellable *cancellable = g_cancellable_new();
    GTask        *task = task_of(cancellable, &got);
    g_task_set_check_cancellable(task, FALSE);
    g_cancellable_cancel(cancellable);
    run(task, returns_42);
    until_answered(&got, 1);
    ck_assert_ptr_null(got.error);
    ck_assert_int_eq(got.value, 42);
    g_object_unref(cancellable);
}
END_TEST

static void sees_cancel(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    gate_add(&entered);
    while (!g_cancellable_is_cancelled(cancellable))
        continue;
    if (!g_task_return_error_if_cancelled(task))
        g_task_return_int(task, 42);
}
START_TEST(fn_may_look_at_its_cancellable)
{
    GCancellable *cancellable = g_cancellable_new();
    run(task_of(cancellable, &got), sees_cancel);
    gate_await(&entered, 1);
    g_cancellable_cancel(cancellable);
    until_answered(&got, 1);
    expect_error(&got, G_IO_ERROR_CANCELLED);
    g_object_unref(cancellable);
}
END_TEST

START_TEST(cancel_after_the_end_changes_nothing)
{
    GCancellable *cancellable = g_cancellable_new();
    run(task_of(cancellable, &got), returns_42);
    until_answered(&got, 1);
    g_cancellable_cancel(cancellable);
    while (g_main_context_iteration(NULL, FALSE))
        continue;
    ck_assert_int_eq(got.times, 1);
    ck_assert_int_eq(got.value, 42);
    g_object_unref(cancellable);
}
END_TEST

START_TEST(one_cancellable_ends_many_tasks)
{
    GCancellable *cancellable = g_cancellable_new();
    for (int i = 0; i < THREADS; i++)
        run(task_of(NULL, &got), held);
    gate_await(&entered, THREADS);
    for (int i = 0; i < 100; i++)
        run(task_of(cancellable, &got), returns_42);
    g_cancellable_cancel(cancellable);
    gate_add(&leave);
    until_answered(&got, 100 + THREADS);
    g_object_unref(cancellable);
}
END_TEST

/* Cancels race with ends, on another thread. */
static gpointer cancel_all(gpointer data)
{
    for (int i = 0; i < 300; i++)
        g_cancellable_cancel(((GCancellable **)data)[i]);
    return NULL;
}
START_TEST(cancels_from_another_thread_lose_no_task)
{
    GCancellable *cancellable[300];
    GThread      *canceller;
    for (int i = 0; i < 300; i++)
        cancellable[i] = g_cancellable_new();
    canceller = g_thread_new("cancels", cancel_all, cancellable);
    for (int i = 0; i < 300; i++)
        run(task_of(cancellable[i], &got), returns_42);
    until_answered(&got, 300);
    g_thread_join(canceller);
    for (int i = 0; i < 300; i++)
        g_object_unref(cancellable[i]);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("calls");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, fn_runs_on_another_thread_and_callback_on_the_contexts);
    tcase_add_test(tests, fn_gets_source_object_data_and_cancellable);
    tcase_add_test(tests, callback_waits_for_the_loop);
    tcase_add_test(tests, error_of_fn_comes_through);
    tcase_add_test(tests, pointer_is_handed_over);
    tcase_add_test(tests, callback_may_be_missing);
    tcase_add_test(tests, callback_may_run_the_next_task);
    tcase_add_test(tests, many_tasks_all_come_back);
    tcase_add_test(tests, contexts_on_several_threads_each_get_their_own);
    tcase_add_test(tests, data_and_source_live_until_the_task_is_gone);
    tcase_add_test(tests, task_cancelled_before_comes_back_cancelled);
    tcase_add_test(tests, running_task_that_is_cancelled_comes_back_cancelled_when_it_ends);
    tcase_add_test(tests, task_that_does_not_check_returns_its_result);
    tcase_add_test(tests, fn_may_look_at_its_cancellable);
    tcase_add_test(tests, cancel_after_the_end_changes_nothing);
    tcase_add_test(tests, one_cancellable_ends_many_tasks);
    tcase_add_test(tests, cancels_from_another_thread_lose_no_task);
    return glib_run_suite(tests);
}
