/* SPDX-License-Identifier: ISC
 *
 * test_sandbox.c: a system that refuses calls which newer kernels have, by a real filter
 * of the kernel, in a child.
 */
#include "harness.h"

#include <sys/syscall.h>

#if defined(__has_include)
#if __has_include(<linux/seccomp.h>) && __has_include(<linux/filter.h>)
#define HAS_FILTERS 1
#endif
#endif

#ifdef HAS_FILTERS
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* From here on that is what comes of call `number`, for this process and its children. */
static void answer(long number, unsigned action)
{
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, action), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog filter = {.len = sizeof steps / sizeof *steps, .filter = steps};
    expect_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    expect_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), 0);
}

static void refuse(long number, int error) { answer(number, SECCOMP_RET_ERRNO | (unsigned)error); }

static void in_child(void (*fn)(void *), int error) { child_reap(child_start(fn, &error)); }

static bool is_pipe(int fd)
{
    struct stat s;
    expect_eq(fstat(fd, &s), 0);
    return S_ISFIFO(s.st_mode);
}

static void until_readable(weir_main *m)
{
    test_stage("waits for the descriptor");
    while (!readable(weir_main_fd(m)))
        sched_yield();
    test_stage(NULL);
}

/* Two tasks for m, whose descriptor tells of each. */
static void serve_through(weir_main *m)
{
    weir_pool        *p;
    weir_pool_options opts = pool_of(1);
    expect_eq(weir_pool_open(&p, &opts), 0);
    for (int i = 0; i < 2; i++) {
        probe t = PROBE;
        expect_eq(weir_run(p, &t.task, m), 0);
        until_readable(m);
        expect_eq(weir_main_dispatch(m, 0), 1);
        expect(t.dones == 1 && !readable(weir_main_fd(m)));
    }
    pool_end(p);
}

static void opens_without_eventfd(void *error)
{
    weir_main *m;
    refuse(SYS_eventfd2, *(int *)error);
    expect_eq(weir_main_open(&m), 0);
    expect(is_pipe(weir_main_fd(m)));
    serve_through(m);
    main_end(m);
}

TEST(a_main_wakes_by_a_pipe_where_eventfd_is_refused)
{
    in_child(opens_without_eventfd, EPERM);
    in_child(opens_without_eventfd, ENOSYS);
}

static void out_of_descriptors(void *error)
{
    weir_main *m;
    refuse(SYS_eventfd2, *(int *)error);
    expect_eq(weir_main_open(&m), WEIR_EMFILE);
}

/* Any other refusal is no reason for a pipe; a build without eventfd asks for nothing else. */
TEST(a_main_takes_no_pipe_when_descriptors_are_out)
{
    weir_main *m;
    expect_eq(weir_main_open(&m), 0);
    bool by_pipe = is_pipe(weir_main_fd(m));
    main_end(m);
    if (!by_pipe)
        in_child(out_of_descriptors, EMFILE);
}

static void goes_on_in_a_child(void *main) { serve_through(main); }

/* The loop watches the number, whatever stands behind it. */
static void forks_in_the_sandbox(void *error)
{
    weir_main *m;
    expect_eq(weir_main_open(&m), 0);
    int fd = weir_main_fd(m);
    refuse(SYS_eventfd2, *(int *)error);
    child_reap(child_start(goes_on_in_a_child, m));
    expect_eq(weir_main_fd(m), fd);
    serve_through(m);
    main_end(m);
}

TEST(a_child_in_a_sandbox_keeps_the_number_of_its_descriptor)
{
    in_child(forks_in_the_sandbox, EPERM);
}

#ifdef SYS_futex_time64

static void waits_for_it(void *task) { expect_eq(weir_wait(task, -1), 0); }

/* A wait that the kernel refuses must not spin: the thread is seen asleep. */
static void parks_without_time64(void *error)
{
    helper h;
    plug   held;
    rig    r;
    probe  t = {.task = {.run = probe_run}};
    expect(rig_open(&r, 1)); /* its worker sleeps in the new call already */
    refuse(SYS_futex_time64, *(int *)error);
    expect(plug_in(&held, r.p, r.m));
    expect_eq(weir_run(r.p, &t.task, NULL), 0);
    expect_eq(weir_wait(&t.task, MILLIS(1)), WEIR_ETIMEDOUT);
    helper_start(&h, waits_for_it, &t.task);
    helper_until_asleep(&h);
    expect(!h.returned);
    plug_pull(&held);
    helper_join(&h);
    rig_close(&r);
}

TEST(a_thread_sleeps_where_the_futex_of_64_bit_times_is_refused)
{
    in_child(parks_without_time64, EPERM);
    in_child(parks_without_time64, ENOSYS);
}

#define TIME64_TESTS a_thread_sleeps_where_the_futex_of_64_bit_times_is_refused,
#else
#define TIME64_TESTS /* 64 bits have one futex call */
#endif

/* 32 bits cannot hold it: once it was a time that had passed, or none. */
TEST(a_wait_of_300_years_ends_with_its_task)
{
    rig   r;
    plug  held;
    probe t = {.task = {.run = probe_run}};
    expect(rig_open(&r, 1));
    expect(plug_in(&held, r.p, r.m));
    expect_eq(weir_run(r.p, &t.task, NULL), 0);
    expect_eq(weir_wait(&t.task, 0), WEIR_ETIMEDOUT);
    plug_pull(&held);
    expect_eq(weir_wait(&t.task, SECONDS(9000000000)), 0);
    rig_close(&r);
}

/* Many at once, again and again: then a worker would change its policy. */
static void serves_lots(void *error)
{
    enum { LOTS = 8, LOT = 64 };
    rig   r;
    tally settled = TALLY;
    (void)error;
    answer(SYS_sched_setscheduler, SECCOMP_RET_TRAP); /* kills it */
    expect(rig_open(&r, 1));
    for (int lot = 0; lot < LOTS; lot++) {
        probe t[LOT];
        expect_eq(weir_pool_pause(r.p), 0);
        for (int i = 0; i < LOT; i++) {
            t[i] = (probe){.task = {.run = probe_run, .done = probe_done}, .settled = &settled};
            expect_eq(weir_run(r.p, &t[i].task, r.m), 0);
        }
        expect_eq(weir_pool_resume(r.p), 0);
        main_until(r.m, &settled, (lot + 1) * LOT);
    }
    rig_close(&r);
}

TEST(a_worker_leaves_its_policy_alone_where_calls_are_filtered) { in_child(serves_lots, 0); }

SUITE(sandbox, TIME64_TESTS a_main_wakes_by_a_pipe_where_eventfd_is_refused,
      a_main_takes_no_pipe_when_descriptors_are_out,
      a_child_in_a_sandbox_keeps_the_number_of_its_descriptor,
      a_wait_of_300_years_ends_with_its_task,
      a_worker_leaves_its_policy_alone_where_calls_are_filtered)

#else

TEST(this_system_has_no_filters) {}
SUITE(sandbox, this_system_has_no_filters)

#endif
