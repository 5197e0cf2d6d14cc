/* SPDX-License-Identifier: ISC
 *
 * test_perfetto.c: a trace in a file, read back field by field.
 *
 * The rules: every packet is whole, every track is named before it is used and once, slices
 * nest on their track and time does not go back there, every flow has a begin.
 */
#include "harness.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- protocol buffers, read ----------------------------------------------- */

typedef struct {
    const unsigned char *at, *end;
} bytes;

typedef struct {
    unsigned field;
    uint64_t number; /* of a varint or a fixed */
    bytes    inside;
} value;

static uint64_t varint(bytes *b)
{
    uint64_t v = 0;
    for (int shift = 0;; shift += 7) {
        expect(b->at < b->end && shift < 64);
        v |= (uint64_t)(*b->at & 127) << shift;
        if (!(*b->at++ & 128))
            return v;
    }
}

static bool next(bytes *b, value *v)
{
    if (b->at == b->end)
        return false;
    uint64_t tag = varint(b);
    *v = (value){.field = (unsigned)(tag >> 3)};
    switch (tag & 7) {
    case 0: v->number = varint(b); break;
    case 1:
        expect(b->end - b->at >= 8);
        memcpy(&v->number, b->at, 8);
        b->at += 8;
        break;
    case 2: {
        uint64_t n = varint(b);
        expect(n <= (uint64_t)(b->end - b->at));
        v->inside = (bytes){b->at, b->at + n};
        b->at += n;
        break;
    }
    default: expect(!"a known kind of field");
    }
    return true;
}

/* The first such field of a message, or one of number 0. */
static value get(bytes message, unsigned field)
{
    value v;
    while (next(&message, &v))
        if (v.field == field)
            return v;
    return (value){0};
}

static bool says(bytes text, const char *what)
{
    return text.at && (size_t)(text.end - text.at) == strlen(what) &&
           memcmp(text.at, what, strlen(what)) == 0;
}

/* ---- a file, by the rules -------------------------------------------------- */

enum { TRACKS = 64, FLOWS = 4096 };

typedef struct {
    unsigned char *all;
    bytes          name[TRACKS]; /* by uuid */
    unsigned       depth[TRACKS];
    uint64_t       last[TRACKS];
    unsigned       events, slices, instants, counts;
    unsigned char  flow[FLOWS]; /* 1: seen, 2: ended */
    bytes          file;
} trace;

static void see_track(trace *t, bytes track)
{
    uint64_t uuid = get(track, 1).number;
    bytes    name = get(track, 2).inside;
    expect(uuid > 0 && uuid < TRACKS && !t->name[uuid].at);
    expect(name.at && name.at < name.end);
    expect(uuid == 1 || get(track, 5).number == 1); /* all are of the process */
    t->name[uuid] = name;
}

static void see_flows(trace *t, bytes event)
{
    value v;
    while (next(&event, &v)) {
        if (v.field != 47 && v.field != 48)
            continue;
        expect(v.number > 0 && v.number < FLOWS);
        t->flow[v.number] |= v.field == 47 ? 1 : 2;
    }
}

static void see_event(trace *t, bytes event, uint64_t at)
{
    uint64_t type = get(event, 9).number, track = get(event, 11).number;
    expect(track > 0 && track < TRACKS && t->name[track].at);
    expect(at >= t->last[track]);
    t->last[track] = at;
    t->events++;
    see_flows(t, event);
    switch (type) {
    case 1:
        t->depth[track]++, t->slices++;
        expect(get(event, 23).inside.at);
        break;
    case 2: expect(t->depth[track]-- > 0); break;
    case 3: t->instants++; break;
    case 4: t->counts++; break;
    default: expect(!"a known type of event");
    }
}

static void load(trace *t, const char *path)
{
    struct stat s;
    int         fd = open(path, O_RDONLY);
    memset(t, 0, sizeof *t);
    expect(fd >= 0 && fstat(fd, &s) == 0 && s.st_size > 0);
    t->all = malloc((size_t)s.st_size);
    expect(t->all);
    for (off_t n = 0, got; n < s.st_size; n += got)
        expect_op(got = read(fd, t->all + n, (size_t)(s.st_size - n)), >, 0);
    close(fd);
    t->file = (bytes){t->all, t->all + s.st_size};
    value v;
    for (bytes b = t->file; next(&b, &v);) {
        expect_eq(v.field, 1);
        expect_eq(get(v.inside, 10).number, 1);
        if (get(v.inside, 60).inside.at)
            see_track(t, get(v.inside, 60).inside);
        else
            see_event(t, get(v.inside, 11).inside, get(v.inside, 8).number);
    }
}

static void unload(trace *t) { free(t->all); }

static void expect_all_closed(const trace *t)
{
    for (int i = 0; i < TRACKS; i++)
        expect_eq(t->depth[i], 0);
}

static void expect_flows_pair(const trace *t)
{
    for (int i = 0; i < FLOWS; i++)
        expect(t->flow[i] == 0 || t->flow[i] == 3);
}

/* The n-th event of that type and name, whose packet has *at; fails if there is none. */
static bytes event_of(const trace *t, unsigned type, const char *name, int n, uint64_t *at)
{
    value v;
    for (bytes b = t->file; next(&b, &v);) {
        bytes event = get(v.inside, 11).inside;
        if (!event.at || get(event, 9).number != type || !says(get(event, 23).inside, name) || n--)
            continue;
        *at = get(v.inside, 8).number;
        return event;
    }
    expect(!"there is such an event");
    return (bytes){0};
}

static bool has_track(const trace *t, const char *name)
{
    for (int i = 0; i < TRACKS; i++)
        if (says(t->name[i], name))
            return true;
    return false;
}

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

static void run_in(rig *r)
{
    enum { SOME = 20 };
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

static trace file;

TEST(a_file_has_every_task_with_its_flow_on_named_tracks)
{
    rig      r;
    uint64_t submitted, began, told;
    fresh_path();
    expect_eq(weir_trace_file(path), 0);
    run_in(&r);
    expect_eq(weir_trace_file(NULL), 0); /* while there is a pool to count in */
    load(&file, path);
    expect_all_closed(&file);
    expect_flows_pair(&file);
    expect(has_track(&file, "db/0") && has_track(&file, "db: queued"));
    expect(has_track(&file, "db: running"));
    for (int i = 0; i < 10; i++) {
        bytes submit = event_of(&file, 3, "submit import", i, &submitted);
        event_of(&file, 1, "import", i, &began);
        bytes done = event_of(&file, 1, "done import", i, &told);
        expect(get(done, 48).number && get(submit, 47).number);
        expect_op(submitted, <=, told);
    }
    expect_op(file.counts, >=, 2);
    unload(&file);
    unlink(path);
    rig_close(&r);
}

TEST(a_task_that_is_stuck_is_an_open_slice_of_its_name)
{
    rig      r;
    plug     p = {.probe = PROBE, .entered = GATE, .leave = GATE};
    uint64_t began;
    fresh_path();
    expect_eq(weir_trace_file(path), 0);
    expect(rig_open(&r, 1));
    p.probe.entered = &p.entered, p.probe.leave = &p.leave;
    run_labelled(&r, &p.probe, "stuck here");
    gate_wait(&p.entered);
    expect_eq(weir_trace_file(NULL), 0);
    load(&file, path);
    uint64_t track = get(event_of(&file, 1, "stuck here", 0, &began), 11).number;
    expect_eq(file.depth[track], 1);
    expect(says(file.name[track], "weir/0"));
    unload(&file);
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
    load(&file, path);
    bytes request = event_of(&file, 1, "request", 0, &outer);
    event_of(&file, 1, "search", 0, &inner);
    event_of(&file, 1, "step", 0, &unnamed);
    bytes left = event_of(&file, 1, "left open", 0, &open_at);
    expect(outer <= inner && inner <= unnamed);
    expect(says(file.name[get(left, 11).number], "weir/0"));
    expect_op(get(request, 11).number, !=, get(left, 11).number);
    expect_all_closed(&file);
    unload(&file);
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
    load(&file, path);
    bytes event = event_of(&file, 1, "has not turned", 0, &at);
    expect_eq(get(get(event, 4).inside, 4).number > 0, true);
    expect(strncmp((const char *)file.name[get(event, 11).number].at, "loop of ", 8) == 0);
    unload(&file);
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
        _exit(weir_trace_read(NULL, 0) == 0 ? 0 : 1);
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
    load(&file, path);
    event_of(&file, 1, "forks", 0, &at);
    expect_all_closed(&file);
    unload(&file);
    unlink(path);
}

/* WEIR_TRACE is looked at once in a process, so each has its own; the end of the program ends
 * the trace. */
static void traces_as_asked(void *name)
{
    setenv("WEIR_TRACE", name, 1);
    run_some();
    exit(0);
}

TEST(the_variable_traces_a_program_as_it_is)
{
    char with[80], pattern[80];
    fresh_path();
    unlink(path);
    snprintf(pattern, sizeof pattern, "%s.%%p", path);
    pid_t child = child_start(traces_as_asked, pattern);
    snprintf(with, sizeof with, "%s.%ld", path, (long)child);
    child_reap(child);
    load(&file, with);
    expect_all_closed(&file);
    expect_flows_pair(&file);
    expect(has_track(&file, "db/1"));
    unload(&file);
    unlink(with);
}

/* The test of the variable comes first: in a process that runs all tests itself, another one
 * would have looked at it. */
SUITE(perfetto, the_variable_traces_a_program_as_it_is,
      a_file_has_every_task_with_its_flow_on_named_tracks,
      a_task_that_is_stuck_is_an_open_slice_of_its_name,
      what_a_program_does_itself_is_a_slice_on_its_threads_track,
      a_loop_that_froze_has_a_slice_that_says_for_how_long,
      a_file_that_cannot_be_written_is_refused,
      a_file_that_was_refused_something_leaves_nothing_behind,
      a_trace_that_ends_in_the_middle_is_by_the_rules, a_child_of_fork_writes_nothing_to_the_file)
