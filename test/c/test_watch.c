/* SPDX-License-Identifier: ISC
 *
 * test_watch.c: the watcher, which tells of stuck tasks and of loops that do not turn.
 */
#include "harness.h"

#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What was told, kept by its text. */
typedef struct {
    pthread_mutex_t lock;
    tally           tasks, loops;
    char            task[16][160], loop[160];
    int             thread;
    int64_t         for_ns[16];
} ear;

#define EAR                                                                                        \
    {                                                                                              \
        .lock = PTHREAD_MUTEX_INITIALIZER, .tasks = TALLY, .loops = TALLY                          \
    }

static void hears(void *arg, const weir_sighting *s)
{
    ear *e = arg;
    pthread_mutex_lock(&e->lock);
    long n = s->kind == WEIR_STUCK_TASK ? tally_get(&e->tasks) : 0;
    if (s->kind == WEIR_STUCK_TASK && n < 16) {
        snprintf(e->task[n], sizeof e->task[n], "%s", s->text);
        e->for_ns[n] = s->for_ns;
        e->thread = s->thread;
        expect(s->pool && strcmp(s->pool, "db") == 0);
    } else if (s->kind == WEIR_STUCK_LOOP) {
        snprintf(e->loop, sizeof e->loop, "%s", s->text);
        expect(s->pool == NULL && s->thread == -1 && s->loop != 0);
    }
    pthread_mutex_unlock(&e->lock);
    tally_add(s->kind == WEIR_STUCK_TASK ? &e->tasks : &e->loops, 1);
}

static weir_watch_options watch_of(ear *e, int64_t task_ns, int64_t loop_ns)
{
    return (weir_watch_options){sizeof(weir_watch_options), task_ns, loop_ns, hears, e};
}

static void watch(ear *e, int64_t task_ns, int64_t loop_ns)
{
    weir_watch_options o = watch_of(e, task_ns, loop_ns);
    expect_eq(weir_watch(&o), 0);
}

static void open_db(rig *r, unsigned threads)
{
    weir_pool_options opts = pool_of(threads);
    opts.name = "db";
    expect(rig_open_with(r, &opts));
}

static void import(plug *p, rig *r)
{
    weir_run_options o = {.size = sizeof o, .deliver_to = r->m, .label = "import"};
    *p = (plug){.probe = PROBE, .entered = GATE, .leave = GATE};
    p->probe.entered = &p->entered, p->probe.leave = &p->leave;
    expect_eq(weir_run_with(r->p, &p->probe.task, &o), 0);
    gate_wait(&p->entered);
}

TEST(a_stuck_task_is_told_by_name_and_again_at_each_doubling)
{
    rig  r;
    plug p;
    ear  e = EAR;
    open_db(&r, 1);
    import(&p, &r);
    watch(&e, MILLIS(10), 0);
    tally_wait(&e.tasks, 3);
    expect_eq(weir_watch(NULL), 0);
    expect(strncmp(e.task[0], "task 'import' has run for ", 26) == 0);
    expect(strstr(e.task[0], " on db/0") != NULL);
    expect_eq(e.thread, 0);
    expect_op(e.for_ns[0], >=, MILLIS(10));
    expect_op(e.for_ns[1], >=, MILLIS(20));
    expect_op(e.for_ns[2], >=, MILLIS(40));
    expect_eq(tally_get(&e.loops), 0);
    plug_pull(&p);
    rig_close(&r);
}

TEST(a_task_without_a_label_and_one_asked_to_stop_are_told_so)
{
    rig  r;
    plug p;
    ear  e = EAR;
    open_db(&r, 1);
    expect(plug_in(&p, r.p, r.m));
    expect_eq(weir_cancel(&p.probe.task), WEIR_EBUSY);
    watch(&e, MILLIS(5), 0);
    tally_wait(&e.tasks, 1);
    expect_eq(weir_watch(NULL), 0);
    expect(strncmp(e.task[0], "a task has run for ", 19) == 0);
    expect(strstr(e.task[0], " on db/0, though it was asked to stop") != NULL);
    plug_pull(&p);
    rig_close(&r);
}

TEST(a_loop_that_has_nothing_to_deliver_and_does_not_turn_is_told)
{
    rig  r;
    plug p;
    ear  e = EAR;
    open_db(&r, 1);
    import(&p, &r);
    watch(&e, 0, MILLIS(10));
    tally_wait(&e.loops, 2); /* meanwhile this thread turns to nothing */
    expect_eq(weir_watch(NULL), 0);
    char which[64] = "the loop";
    if (syscall(SYS_gettid) != getpid())
        snprintf(which, sizeof which, "the loop of thread %ld", (long)syscall(SYS_gettid));
    expect(strncmp(e.loop, which, strlen(which)) == 0);
    expect(strstr(e.loop, " has not turned for ") != NULL);
    expect_eq(weir_main_dispatch(r.m, 0), 0); /* what woke it is no delivery */
    expect(!readable(weir_main_fd(r.m)));
    plug_pull(&p);
    rig_close(&r);
}

TEST(a_loop_that_turns_and_a_task_that_is_young_are_not_told)
{
    rig  r;
    plug p;
    ear  e = EAR;
    open_db(&r, 2);
    import(&p, &r);
    watch(&e, MILLIS(10), SECONDS(100));
    while (tally_get(&e.tasks) < 2) {
        probe t = PROBE;
        expect_eq(weir_run(r.p, &t.task, r.m), 0);
        while (t.dones == 0)
            weir_main_wait(r.m, -1);
    }
    expect_eq(weir_watch(NULL), 0);
    expect_eq(tally_get(&e.loops), 0);
    for (long i = 0; i < tally_get(&e.tasks) && i < 16; i++) /* a busy machine makes any task old */
        expect(strstr(e.task[i], "'import'") || e.for_ns[i] >= MILLIS(10));
    plug_pull(&p);
    rig_close(&r);
}

/* Glue does not poll it then: nobody turns to it, and a nudge of before may be there. */
TEST(a_loop_to_which_nothing_is_pending_is_not_told_nor_the_time_that_it_was_so)
{
    rig  r;
    plug p, later;
    ear  e = EAR;
    open_db(&r, 2);
    import(&p, &r);
    watch(&e, MILLIS(5), SECONDS(100));
    while (!readable(weir_main_fd(r.m)))
        sched_yield(); /* nudged */
    plug_pull(&p);
    while (p.probe.dones == 0)
        weir_main_wait(r.m, -1);
    weir_main_nudge(r.m);
    int64_t until = now_ns() + MILLIS(50);
    while (now_ns() < until)
        sched_yield();
    weir_main_stats s = {.size = sizeof s};
    expect_eq(weir_main_get_stats(r.m, &s), 0);
    expect(s.pending == 0 && s.lag_ns == 0 && s.unturned_ns == 0);
    import(&later, &r);
    expect_eq(weir_main_get_stats(r.m, &s), 0);
    expect_op(s.unturned_ns, <, now_ns() - until + MILLIS(20)); /* not those 50 ms */
    expect_eq(weir_watch(NULL), 0);
    expect_eq(tally_get(&e.loops), 0);
    plug_pull(&later);
    rig_close(&r);
}

static weir_main *of_a_worker;

static int run_owns_a_main(weir_task *task, void *state)
{
    weir_main *m;
    probe      inner = PROBE;
    (void)state;
    inner.leave = ((probe *)task)->leave;
    expect_eq(weir_main_open(&m), 0);
    expect_eq(weir_run(weir_pool_current(), &inner.task, m), 0);
    of_a_worker = m;
    int code = probe_run(task, NULL);
    while (inner.dones == 0)
        weir_main_wait(m, -1);
    expect_eq(weir_main_close(m, 0), 0);
    return code;
}

/* It is told in the tests above when a loop is stuck; here this thread is, too, and alone. */
TEST(a_worker_that_owns_a_main_is_no_loop)
{
    rig   r;
    gate  entered = GATE, leave = GATE;
    ear   e = EAR;
    probe t = {.task = {.run = run_owns_a_main, .done = probe_done}};
    t.entered = &entered, t.leave = &leave;
    open_db(&r, 2);
    expect_eq(weir_run(r.p, &t.task, r.m), 0); /* so this thread's has something pending */
    gate_wait(&entered);
    watch(&e, 0, MILLIS(10));
    tally_wait(&e.loops, 3);
    expect_eq(weir_watch(NULL), 0);
    weir_main_stats s = {.size = sizeof s};
    expect_eq(weir_main_get_stats(of_a_worker, &s), 0);
    expect_eq(s.unturned_ns, 0); /* it was not even woken */
    gate_open(&leave);
    rig_close(&r);
}

static _Atomic int rc_inside;

static void watches_inside(void *arg, const weir_sighting *s)
{
    (void)s;
    rc_inside = weir_watch(NULL);
    tally_add(arg, 1);
}

TEST(tell_may_call_anything_but_weir_watch)
{
    rig                r;
    plug               p;
    tally              told = TALLY;
    weir_watch_options o = {sizeof o, MILLIS(5), 0, watches_inside, &told};
    open_db(&r, 1);
    import(&p, &r);
    expect_eq(weir_watch(&o), 0);
    tally_wait(&told, 1);
    expect_eq(weir_watch(NULL), 0);
    expect_eq(rc_inside, WEIR_EDEADLK);
    plug_pull(&p);
    rig_close(&r);
}

TEST(wrong_options_of_a_watcher_are_refused)
{
    ear                e = EAR;
    weir_watch_options none = watch_of(&e, 0, 0), negative = watch_of(&e, -1, 1);
    weir_watch_options negative_loop = watch_of(&e, 1, -1), size = watch_of(&e, 1, 1);
    expect_eq(weir_watch(&none), WEIR_EINVAL);
    expect_eq(weir_watch(&negative), WEIR_EINVAL);
    expect_eq(weir_watch(&negative_loop), WEIR_EINVAL);
    size.size = 0;
    expect_eq(weir_watch(&size), WEIR_EINVAL);
    size.size = sizeof size + 1;
    expect_eq(weir_watch(&size), WEIR_EINVAL);
    expect_eq(weir_watch(NULL), 0);
}

static void swaps_watchers(void *arg)
{
    for (unsigned i = 0; i < scaled(200); i++)
        watch(arg, SECONDS(1000), 0);
}

TEST(watchers_that_replace_each_other_leave_one)
{
    ear    e = EAR;
    helper h;
    helper_start(&h, swaps_watchers, &e);
    swaps_watchers(&e);
    helper_join(&h);
    expect_eq(weir_watch(NULL), 0); /* the harness counts threads and blocks */
}

SCENARIO(a_watcher_that_cannot_start_changes_nothing)
{
    ear                e = EAR;
    weir_watch_options o = watch_of(&e, SECONDS(1000), 0);
    given(weir_watch(&o));
    expect_eq(weir_watch(NULL), 0);
}

TEST(a_child_of_fork_has_no_watcher_and_may_have_its_own)
{
    rig  r;
    plug p;
    ear  e = EAR;
    if (under_emulator())
        return;
    watch(&e, SECONDS(1000), 0);
    pid_t child = child_begin();
    if (child == 0) {
        expect_eq(count_threads(), 1);
        if (under_tsan()) /* it takes the child's thread for the parent's */
            _exit(0);
        open_db(&r, 1);
        import(&p, &r);
        watch(&e, MILLIS(5), 0);
        tally_wait(&e.tasks, 1);
        expect_eq(weir_watch(NULL), 0);
        plug_pull(&p);
        rig_close(&r);
        _exit(0);
    }
    child_reap(child);
    expect_eq(weir_watch(NULL), 0);
}

TEST(by_default_a_line_on_stderr_tells)
{
    int out[2];
    expect_eq(pipe(out), 0);
    pid_t child = child_begin();
    if (child == 0) {
        rig                r;
        plug               p;
        weir_watch_options o = {.size = sizeof o, .task_ns = MILLIS(5)};
        dup2(out[1], STDERR_FILENO);
        open_db(&r, 1);
        import(&p, &r);
        expect_eq(weir_watch(&o), 0);
        expect_eq(poll(&(struct pollfd){out[0], POLLIN, 0}, 1, -1), 1);
        expect_eq(weir_watch(NULL), 0);
        _exit(0);
    }
    child_reap(child);
    char    line[200] = "";
    ssize_t n = read(out[0], line, sizeof line - 1);
    expect_op(n, >, 0);
    expect(strncmp(line, "weir: task 'import' has run for ", 32) == 0);
    expect(strstr(line, " on db/0\n") != NULL);
    close(out[0]), close(out[1]);
}

SUITE(watch, a_stuck_task_is_told_by_name_and_again_at_each_doubling,
      a_task_without_a_label_and_one_asked_to_stop_are_told_so,
      a_loop_that_has_nothing_to_deliver_and_does_not_turn_is_told,
      a_loop_to_which_nothing_is_pending_is_not_told_nor_the_time_that_it_was_so,
      a_loop_that_turns_and_a_task_that_is_young_are_not_told, a_worker_that_owns_a_main_is_no_loop,
      tell_may_call_anything_but_weir_watch, wrong_options_of_a_watcher_are_refused,
      watchers_that_replace_each_other_leave_one, a_watcher_that_cannot_start_changes_nothing,
      a_child_of_fork_has_no_watcher_and_may_have_its_own, by_default_a_line_on_stderr_tells)
