/* SPDX-License-Identifier: ISC
 *
 * test_preload.c: what the environment says to libweir-uv.so. Run with WEIR_UV_THREADS=2
 * and WEIR_UV_QUEUE=1.
 */
#include "uv_test.h"

#include <check.h>
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static uv_loop_t loop;
static int       started;

static void count(uv_work_t *req) { __atomic_add_fetch(&started, 1, __ATOMIC_SEQ_CST); }

static uv_barrier_t both;
static void         meet(uv_work_t *req) { uv_barrier_wait(&both); } /* ends only if two run */

static int is_of_pool(const char *thread)
{
    char  path[300], name[32] = "";
    FILE *file;
    snprintf(path, sizeof path, "/proc/self/task/%s/comm", thread);
    if (!(file = fopen(path, "r")))
        return 0;
    char *read = fgets(name, sizeof name, file);
    fclose(file);
    return read && strcmp(name, "libuv-worker\n") == 0;
}

static int threads_of_pool(void)
{
    DIR           *tasks = opendir("/proc/self/task");
    struct dirent *e;
    int            n = 0;
    ck_assert_ptr_nonnull(tasks);
    while ((e = readdir(tasks)))
        n += is_of_pool(e->d_name);
    closedir(tasks);
    return n;
}

START_TEST(threads_are_as_many_as_the_variable_says)
{
    uv_work_t req[20];
    ck_assert_int_eq(uv_barrier_init(&both, 2), 0);
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(uv_queue_work(&loop, &req[i], meet, NULL), 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(threads_of_pool(), 2);
}
END_TEST

START_TEST(full_queue_makes_the_submitter_wait)
{
    static uv_work_t req[500];
    for (int i = 0; i < 500; i++) {
        ck_assert_int_eq(uv_queue_work(&loop, &req[i], count, NULL), 0);
        /* one stands in the queue, and each thread may have taken one that has not counted */
        ck_assert_int_le(i + 1 - __atomic_load_n(&started, __ATOMIC_SEQ_CST), 3);
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(started, 500);
}
END_TEST

static char name[32];
static void own_name(uv_work_t *req) { pthread_getname_np(pthread_self(), name, sizeof name); }
START_TEST(threads_are_called_as_libuv_calls_its_own)
{
    uv_work_t req;
    ck_assert_int_eq(uv_queue_work(&loop, &req, own_name, NULL), 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_str_eq(name, "libuv-worker");
}
END_TEST

static void setup(void) { ck_assert_int_eq(uv_loop_init(&loop), 0); }
static void teardown(void) { ck_assert_int_eq(uv_loop_close(&loop), 0); }

int main(void)
{
    TCase *tests = tcase_create("environment");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, threads_are_as_many_as_the_variable_says);
    tcase_add_test(tests, full_queue_makes_the_submitter_wait);
    tcase_add_test(tests, threads_are_called_as_libuv_calls_its_own);
    return uv_run_suite(tests);
}
