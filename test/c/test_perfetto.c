/* SPDX-License-Identifier: ISC
 *
 * test_perfetto.c: a trace in a file, read back field by field.
 */
#include "harness.h"
#include "tracks.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- programs --------------------------------------------------------------- */

static char path[64];

static void fresh_path(void)
{
    snprintf(path, sizeof path, "/tmp/weir-trace-XXXXXX");
    int fd = mkstemp(path);
    expect(fd >= 0);
    close(fd);
}

static void run_labelled(rig *r, probe *t, const char *label)
{
    weir_run_options o = {.size = sizeof o, .deliver_to = r->m, .label = label};
    expect_eq(weir_run_with(r->p, &t->task, &o), 0);
}

enum { SOME = 20 };

static void run_in(rig *r)
{
    probe             t[SOME];
    weir_pool_options opts = pool_of(2);
    opts.name = "db";
    expect(rig_open_with(r, &opts));
    for (int i = 0; i < SOME; i++) {
        t[i] = (probe)PROBE;
        t[i].code = i == 3 ? 9 : 0;
        run_labelled(r, &t[i], i % 2 ? "export" : "import");
    }
    for (int i = 0; i < SOME; i++)
        while (t[i].dones == 0)
            weir_main_wait(r->m, -1);
}

static void run_some(void)
{
    rig r;
    run_in(&r);
    rig_close(&r);
}

static tracks file;

/* A done may be told before its thread has said that the task is settled. */
static _Atomic int told_settled;

static void count_settled(void *arg, weir_trace_event event, const weir_pool *p, const weir_task *t,
                          int value)
{
    (void)arg, (void)p, (void)t, (void)value;
    told_settled += event == WEIR_TRACE_SETTLED; /* its record stands in a ring by now */
}

TEST(a_file_has_every_task_with_its_flow_on_named_tracks)
{
    rig      r;
    uint64_t submitted, began, told;
    fresh_path();
    told_settled = 0;
    weir_trace(count_settled, NULL);
    expect_eq(weir_trace_file(path), 0);
    run_in(&r);
    while (told_settled < SOME)
        sched_yield();
    weir_trace(NULL, NULL);
    expect_eq(weir_trace_file(NULL), 0); /* while there is a pool to count in */
    tracks_load(&file, path);
    tracks_expect_closed(&file);
    tracks_expect_flows(&file);
    expect(tracks_have(&file, "db/0") || tracks_have(&file, "db/1")); /* one may have run all */
    expect(tracks_have(&file, "db: queued"));
    expect(tracks_have(&file, "db: running"));
    for (int i = 0; i < 10; i++) {
        proto_bytes submit = tracks_event(&file, 3, "submit import", i, &submitted);
        tracks_event(&file, 1, "import", i, &began);
        proto_bytes done = tracks_event(&file, 1, "done import", i, &told);
        expect(proto_get(done, 48).number && proto_get(submit, 47).number);
        expect_op(submitted, <=, told);
    }
    expect_op(file.counts, >=, 2);
    tracks_unload(&file);
    unlink(path);
    rig_close(&r);
}

/* Traced into a file, a task is inside p. */
static void stick(rig *r, plug *p)
{
    fresh_path();
    expect_eq(weir_trace_file(path), 0);
    expect(rig_open(r, 1));
    p->probe.entered = &p->entered, p->probe.leave = &p->leave;
    run_labelled(r, &p->probe, "stuck here");
    gate_wait(&p->entered);
}

TEST(a_task_that_is_stuck_is_an_open_slice_of_its_name)
{
    rig      r;
    plug     p = {.probe = PROBE, .entered = GATE, .leave = GATE};
    uint64_t began;
    stick(&r, &p);
    expect_eq(weir_trace_file(NULL), 0);
    tracks_load(&file, path);
    uint64_t track = proto_get(tracks_event(&file, 1, "stuck here", 0, &began), 11).number;
    expect_eq(file.depth[track], 1);
    expect(proto_says(file.name[track], "weir/0"));
    tracks_unload(&file);
    unlink(path);
    plug_pull(&p);
    rig_close(&r);
}

static int run_has_steps(weir_task *task, void *state)
{
    (void)task, (void)state;
    weir_trace_begin("left open"); /* the task's end ends it */
    return 0;
}

TEST(what_a_program_does_itself_is_a_slice_on_its_threads_track)
{
    rig      r;
    probe    t = {.task = {.run = run_has_steps, .done = probe_done}};
    char     search[] = "search";
    uint64_t outer, inner, unnamed, open_at;
    weir_trace_begin("nobody records it");
    weir_trace_end();
    fresh_path();
    expect_eq(weir_trace_file(path), 0);
    expect(rig_open(&r, 1));
    weir_trace_end(); /* without a begin */
    weir_trace_begin("request");
    weir_trace_begin(search);
    search[0] = 'S'; /* the label was copied */
    weir_trace_end();
    weir_trace_begin(NULL);
    weir_trace_end();
    weir_trace_end();
    run_labelled(&r, &t, "import");
    while (t.dones == 0)
        weir_main_wait(r.m, -1);
    rig_close(&r);
    expect_eq(weir_trace_file(NULL), 0);
    tracks_load(&file, path);
    proto_bytes request = tracks_event(&file, 1, "request", 0, &outer);
    tracks_event(&file, 1, "search", 0, &inner);
    tracks_event(&file, 1, "step", 0, &unnamed);
    proto_bytes left = tracks_event(&file, 1, "left open", 0, &open_at);
    expect(outer <= inner && inner <= unnamed);
    expect(proto_says(file.name[proto_get(left, 11).number], "weir/0"));
    expect_op(proto_get(request, 11).number, !=, proto_get(left, 11).number);
    tracks_expect_closed(&file);
    tracks_unload(&file);
    unlink(path);
}

TEST(more_steps_than_its_buffer_holds_are_all_there)
{
    enum { MANY = 5000 };
    fresh_path();
    expect_eq(weir_trace_file(path), 0);
    for (int i = 0; i < MANY; i++) {
        weir_trace_begin("step by step");
        weir_trace_end();
    }
    expect_eq(weir_trace_file(NULL), 0);
    tracks_load(&file, path);
    expect_eq(file.slices, MANY);
    tracks_expect_closed(&file);
    tracks_unload(&file);
    unlink(path);
}

TEST(steps_nested_deeper_than_a_trace_shows_end_none_of_those_that_it_shows)
{
    enum { DEEPER = 50, SHOWN = 32 };
    uint64_t at;
    fresh_path();
    expect_eq(weir_trace_file(path), 0);
    for (int i = 0; i < DEEPER; i++)
        weir_trace_begin("deep");
    for (int i = SHOWN; i < DEEPER; i++)
        weir_trace_end();
    weir_trace_end();
    weir_trace_begin("last");
    expect_eq(weir_trace_file(NULL), 0);
    tracks_load(&file, path);
    uint64_t track = proto_get(tracks_event(&file, 1, "last", 0, &at), 11).number;
    expect_eq(file.slices, SHOWN + 1);
    expect_eq(file.depth[track], SHOWN); /* one less, and the last */
    tracks_unload(&file);
    unlink(path);
}

static int init_begins(void *arg, void **state)
{
    (void)arg, (void)state;
    weir_trace_begin("session");
    return 0;
}

TEST(what_a_thread_leaves_open_ends_with_it)
{
    rig               r;
    uint64_t          at;
    weir_pool_options opts = pool_of(1);
    opts.init = init_begins;
    fresh_path();
    expect_eq(weir_trace_file(path), 0);
    expect(rig_open_with(&r, &opts));
    rig_close(&r);
    expect_eq(weir_trace_file(NULL), 0);
    tracks_load(&file, path);
    tracks_event(&file, 1, "session", 0, &at);
    tracks_expect_closed(&file);
    tracks_unload(&file);
    unlink(path);
}

static void given_up(weir_task *task) { gate_open(&((plug *)task)->entered); }

TEST(the_slice_of_a_task_that_was_given_up_ends_with_its_run)
{
    rig      r;
    plug     p = {.probe = PROBE, .entered = GATE, .leave = GATE};
    uint64_t began;
    p.probe.task.release = given_up;
    stick(&r, &p);
    gate_shut(&p.entered);
    expect_eq(weir_task_abandon(&p.probe.task), 0);
    while (p.probe.dones == 0)
        weir_main_wait(r.m, -1);
    plug_pull(&p);
    gate_wait(&p.entered); /* it is released */
    rig_close(&r);
    expect_eq(weir_trace_file(NULL), 0);
    tracks_load(&file, path);
    tracks_event(&file, 1, "stuck here", 0, &began);
    tracks_expect_closed(&file);
    tracks_unload(&file);
    unlink(path);
}

/* It has nothing to deliver, and does not turn for a while. */
TEST(a_loop_that_froze_has_a_slice_that_says_for_how_long)
{
    rig      r;
    plug     p;
    uint64_t at;
    fresh_path();
    expect_eq(weir_trace_file(path), 0);
    expect(rig_open(&r, 1) && plug_in(&p, r.p, r.m));
    while (!readable(weir_main_fd(r.m))) /* it is nudged: from here on it has to turn */
        sched_yield();
    for (int64_t until = now_ns() + MILLIS(60); now_ns() < until;)
        sched_yield();
    while (weir_main_dispatch(r.m, 0) != 0) {
    }
    expect_eq(weir_trace_file(NULL), 0);
    tracks_load(&file, path);
    proto_bytes event = tracks_event(&file, 1, "has not turned", 0, &at);
    expect_eq(proto_get(proto_get(event, 4).inside, 4).number > 0, true);
    expect(strncmp((const char *)file.name[proto_get(event, 11).number].at, "loop of ", 8) == 0);
    tracks_unload(&file);
    unlink(path);
    plug_pull(&p);
    rig_close(&r);
}

TEST(a_file_that_cannot_be_written_is_refused)
{
    expect_eq(weir_trace_file("/tmp/weir-no-such-folder/trace"), WEIR_EINVAL);
    expect_eq(weir_trace_file(NULL), 0);
    expect_eq(weir_trace_start(0), 0); /* nothing was left on */
    fresh_path();
    expect_eq(weir_trace_file(path), WEIR_EBUSY);
    weir_trace_stop();
    unlink(path);
}

SCENARIO(a_file_that_was_refused_something_leaves_nothing_behind)
{
    fresh_path();
    int rc = weir_trace_file(path); /* EINVAL: the file cannot be written */
    given(rc == WEIR_EINVAL && fault_injected() ? WEIR_EMFILE : rc);
    expect_eq(weir_trace_file(NULL), 0);
    unlink(path);
}

TEST(a_write_that_is_interrupted_is_made_again)
{
    fresh_path();
    fault_arm(FAULT_WRITE_EINTR, 1, 1);
    expect_eq(weir_trace_file(path), 0);
    expect_eq(weir_trace_file(NULL), 0);
    expect(fault_disarm());
    tracks_load(&file, path);
    expect(tracks_have(&file, "trace: records lost")); /* of the first write */
    tracks_unload(&file);
    unlink(path);
}

TEST(a_full_disk_costs_what_would_be_written_and_nothing_else)
{
    fresh_path();
    fault_arm(FAULT_ENOSPC, 1, 1u << 30);
    expect_eq(weir_trace_file(path), 0);
    for (int i = 0; i < 5000; i++) {
        weir_trace_begin("step by step");
        weir_trace_end();
    }
    expect_eq(weir_trace_file(NULL), 0);
    expect(fault_disarm());
    unlink(path);
}

static _Atomic bool churns;

static void churn(void *arg)
{
    (void)arg;
    while (churns)
        run_some();
}

TEST(a_trace_that_ends_in_the_middle_is_by_the_rules)
{
    helper h;
    churns = true;
    helper_start(&h, churn, NULL);
    fresh_path();
    expect_eq(weir_trace_file(path), 0);
    for (int i = 0; i < 3; i++)
        run_some();
    expect_eq(weir_trace_file(NULL), 0);
    churns = false;
    helper_join(&h);
    int   fd = open(path, O_RDONLY);
    off_t size = lseek(fd, 0, SEEK_END);
    expect_op(size, >, 1000);
    close(fd);
    unlink(path);
}

static int run_forks(weir_task *task, void *state)
{
    pid_t child = child_begin();
    (void)task, (void)state;
    if (child == 0)
        _exit(weir_trace_read(NULL, 0) == 0 && weir_trace_file(NULL) == 0 ? 0 : 1);
    child_reap(child);
    return 0;
}

TEST(a_child_of_fork_writes_nothing_to_the_file)
{
    rig      r;
    probe    t = {.task = {.run = run_forks, .done = probe_done}};
    uint64_t at;
    fresh_path();
    expect_eq(weir_trace_file(path), 0);
    expect(rig_open(&r, 1));
    run_labelled(&r, &t, "forks");
    while (t.dones == 0)
        weir_main_wait(r.m, -1);
    rig_close(&r);
    expect_eq(weir_trace_file(NULL), 0);
    tracks_load(&file, path);
    tracks_event(&file, 1, "forks", 0, &at);
    tracks_expect_closed(&file);
    tracks_unload(&file);
    unlink(path);
}

/* WEIR_TRACE is looked at once in a process. The end of the program ends the trace. */
PROGRAM(runs_some) { run_some(); }

TEST(the_variable_traces_a_program_as_it_is)
{
    char with[80], pattern[80];
    if (under_emulator())
        return;
    fresh_path();
    unlink(path);
    snprintf(pattern, sizeof pattern, "%s.%%p", path);
    setenv("WEIR_TRACE", pattern, 1);
    pid_t child = program_start("runs_some");
    unsetenv("WEIR_TRACE");
    snprintf(with, sizeof with, "%s.%ld", path, (long)child);
    child_reap(child);
    tracks_load(&file, with);
    tracks_expect_closed(&file);
    tracks_expect_flows(&file);
    expect(tracks_have(&file, "db/1"));
    tracks_unload(&file);
    unlink(with);
}

SUITE(perfetto, the_variable_traces_a_program_as_it_is,
      a_file_has_every_task_with_its_flow_on_named_tracks,
      a_task_that_is_stuck_is_an_open_slice_of_its_name,
      what_a_program_does_itself_is_a_slice_on_its_threads_track,
      more_steps_than_its_buffer_holds_are_all_there,
      steps_nested_deeper_than_a_trace_shows_end_none_of_those_that_it_shows,
      what_a_thread_leaves_open_ends_with_it,
      the_slice_of_a_task_that_was_given_up_ends_with_its_run,
      a_write_that_is_interrupted_is_made_again,
      a_full_disk_costs_what_would_be_written_and_nothing_else,
      a_loop_that_froze_has_a_slice_that_says_for_how_long,
      a_file_that_cannot_be_written_is_refused,
      a_file_that_was_refused_something_leaves_nothing_behind,
      a_trace_that_ends_in_the_middle_is_by_the_rules, a_child_of_fork_writes_nothing_to_the_file)
