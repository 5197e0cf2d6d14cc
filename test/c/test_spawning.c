/* SPDX-License-Identifier: ISC
 *
 * test_spawning.c: the signal mask of the commands that a task starts.
 */
#include "harness.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static sigset_t mask_now(void)
{
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    return mask;
}

/* The kernel fills a part of a sigset_t only: no memcmp. */
static bool same(sigset_t a, sigset_t b)
{
    for (int sig = 1; sig <= SIGRTMAX; sig++)
        if (sigismember(&a, sig) != sigismember(&b, sig))
            return false;
    return true;
}

/* ---- starting commands -------------------------------------------------- */

static pid_t spawn_sleep(void)
{
    char *argv[] = {"sleep", "20", NULL};
    pid_t pid = 0;
    expect_eq(posix_spawnp(&pid, "sleep", NULL, NULL, argv, environ), 0);
    return pid;
}

static pid_t spawn_within(void)
{
    weir_spawning_begin();
    pid_t pid = spawn_sleep();
    weir_spawning_end();
    return pid;
}

/* Returns when sleep has begun: until then the child has Check's handlers. */
static pid_t fork_sleep(void)
{
    int  until_exec[2];
    char none;
    expect_eq(pipe2(until_exec, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        execlp("sleep", "sleep", "20", (char *)NULL);
        _exit(1);
    }
    close(until_exec[1]);
    expect_eq(read(until_exec[0], &none, 1), 0);
    close(until_exec[0]);
    return pid;
}

static void expect_ends_by_term(pid_t pid)
{
    int status = 0;
    expect_eq(kill(pid, SIGTERM), 0);
    expect_eq(waitpid(pid, &status, 0), pid);
    expect(WIFSIGNALED(status));
    expect_eq(WTERMSIG(status), SIGTERM);
}

/* A task that does one thing. */
typedef struct {
    weir_task task;
    void (*what)(void);
} job;

static int run_job(weir_task *task, void *state)
{
    (void)state;
    ((job *)task)->what();
    return 0;
}

static void in_a_task_of(weir_pool *p, void (*what)(void))
{
    job j = {.task = {.run = run_job}, .what = what};
    expect_eq(weir_run(p, &j.task, NULL), 0);
    expect_eq(weir_wait(&j.task, -1), 0);
}

static void in_a_task(void (*what)(void))
{
    weir_pool_options opts = pool_of(1);
    weir_pool        *p;
    expect_eq(weir_pool_open(&p, &opts), 0);
    in_a_task_of(p, what);
    pool_end(p);
}

/* ---- commands ----------------------------------------------------------- */

static void forks_a_command(void) { expect_ends_by_term(fork_sleep()); }
static void spawns_a_command(void) { expect_ends_by_term(spawn_within()); }

TEST(a_command_that_a_task_forks_ends_by_sigterm) { in_a_task(forks_a_command); }
TEST(a_command_spawned_between_begin_and_end_ends_by_sigterm) { in_a_task(spawns_a_command); }

static sigset_t openers, workers, seen;

/* The mask of a forked child, looked at there. */
static void expect_child_has(sigset_t expected)
{
    pid_t pid = fork();
    int   status = 0;
    if (pid == 0)
        _exit(!same(mask_now(), expected));
    expect_eq(waitpid(pid, &status, 0), pid);
    expect_eq(status, 0);
}

static void child_has_the_openers(void) { expect_child_has(openers); }

/* Blocks one signal that workers leave open, and one that they block. */
static sigset_t block_two(void)
{
    sigset_t two, old;
    sigemptyset(&two);
    sigaddset(&two, SIGPROF);
    sigaddset(&two, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &two, &old);
    openers = mask_now();
    return old;
}

TEST(a_forked_child_has_the_mask_of_the_thread_that_opened)
{
    weir_pool_options opts = pool_of(1);
    weir_pool        *p;
    sigset_t          old = block_two();
    expect_eq(weir_pool_open(&p, &opts), 0);
    pthread_sigmask(SIG_SETMASK, &old, NULL); /* what it is later does not matter */
    in_a_task_of(p, child_has_the_openers);
    pool_end(p);
}

/* ---- begin and end ------------------------------------------------------ */

static void looks(void) { seen = mask_now(); }

static void nests(void)
{
    workers = mask_now();
    expect(!same(workers, openers));
    weir_spawning_begin();
    expect(same(mask_now(), openers));
    weir_spawning_begin();
    weir_spawning_end();
    expect(same(mask_now(), openers));
    weir_spawning_end();
    expect(same(mask_now(), workers));
    weir_spawning_end(); /* one too many */
    expect(same(mask_now(), workers));
}

TEST(begin_and_end_nest_and_give_the_mask_back)
{
    openers = mask_now();
    in_a_task(nests);
}

TEST(off_a_worker_begin_and_end_change_nothing)
{
    sigset_t before = block_two(), blocked = mask_now();
    weir_spawning_begin();
    expect(same(mask_now(), blocked));
    weir_spawning_end();
    expect(same(mask_now(), blocked));
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

TEST(a_task_that_ends_between_begin_and_end_leaves_the_worker_its_mask)
{
    weir_pool_options opts = pool_of(1);
    weir_pool        *p;
    expect_eq(weir_pool_open(&p, &opts), 0);
    in_a_task_of(p, looks);
    workers = seen;
    in_a_task_of(p, weir_spawning_begin);
    in_a_task_of(p, looks);
    expect(same(seen, workers));
    pool_end(p);
}

static void forks_between(void)
{
    weir_spawning_begin();
    pid_t pid = fork();
    weir_spawning_end();
    if (pid == 0)
        _exit(!same(mask_now(), openers));
    int status = 0;
    expect_eq(waitpid(pid, &status, 0), pid);
    expect_eq(status, 0);
    expect(!same(mask_now(), openers));
}

TEST(an_end_in_a_forked_child_blocks_nothing)
{
    openers = mask_now();
    in_a_task(forks_between);
}

static void opens_another(void) { in_a_task(child_has_the_openers); }

TEST(a_pool_opened_in_a_task_passes_on_the_mask_of_the_outer_ones_opener)
{
    sigset_t old = block_two();
    in_a_task(opens_another);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/* ---- other threads of a pool -------------------------------------------- */

static weir_worker *lend_this_thread(weir_pool **p)
{
    weir_pool_options opts = pool_of(1);
    weir_worker      *w;
    opts.borrowed = true;
    openers = mask_now();
    expect_eq(weir_pool_open_async(p, &opts, NULL, NULL), 0);
    expect_eq(weir_worker_enter(*p, &w), 0);
    return w;
}

TEST(a_lent_thread_starts_commands_as_an_owned_one_until_it_leaves)
{
    weir_pool   *p;
    weir_worker *w = lend_this_thread(&p);
    child_has_the_openers();
    nests();
    weir_spawning_begin();
    weir_worker_leave(w, false, 0);
    expect(same(mask_now(), openers));
    weir_spawning_end(); /* its begin has gone with the worker */
    expect(same(mask_now(), openers));
    workers = block_two();
    weir_spawning_begin();
    expect(same(mask_now(), openers)); /* no worker any more */
    expect_child_has(openers);
    pthread_sigmask(SIG_SETMASK, &workers, NULL);
    pool_end(p);
}

static gate told;

static void done_forks(weir_task *task)
{
    (void)task;
    child_has_the_openers();
    nests();
    gate_open(&told);
}

/* No thread is left, so the timer tells what expires. */
TEST(a_done_on_the_timer_starts_commands_as_one_on_a_worker)
{
    weir_run_options soon = {.size = sizeof soon, .start_within_ns = 1};
    weir_task        t = {.run = probe_run, .done = done_forks};
    rig              r;
    told = (gate)GATE;
    openers = mask_now();
    rig_open_deserted(&r, pool_of(1));
    expect_eq(weir_run_with(r.p, &t, &soon), 0);
    gate_wait(&told);
    rig_close(&r);
}

SUITE(spawning, a_command_that_a_task_forks_ends_by_sigterm,
      a_command_spawned_between_begin_and_end_ends_by_sigterm,
      a_forked_child_has_the_mask_of_the_thread_that_opened,
      begin_and_end_nest_and_give_the_mask_back, off_a_worker_begin_and_end_change_nothing,
      a_task_that_ends_between_begin_and_end_leaves_the_worker_its_mask,
      an_end_in_a_forked_child_blocks_nothing,
      a_pool_opened_in_a_task_passes_on_the_mask_of_the_outer_ones_opener,
      a_lent_thread_starts_commands_as_an_owned_one_until_it_leaves,
      a_done_on_the_timer_starts_commands_as_one_on_a_worker)
