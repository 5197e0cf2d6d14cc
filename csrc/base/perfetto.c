/* SPDX-License-Identifier: ISC
 *
 * perfetto.c: what each record becomes in Perfetto's format.
 *
 *   track                  on it
 *   a thread's             slices: tasks, dones, calls, what blocks, the program's own steps;
 *                          submits are instants
 *   the loop of a thread   a slice for each time in which it had to turn and did not
 *   of a pool              two counters: queued, running
 *
 * A flow leads from a task's submit to its start and on to its done. Of one thread the records
 * come in order, so the open slices of its track stand on a stack; an end closes what stands
 * above its begin too, because records can be lost. The reader of the file sorts by time.
 *
 * Field numbers are those of Perfetto's perfetto_trace.proto.
 */
#include "base/perfetto.h"

#include "base/platform.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PACKET = 2048, DEEP = 32, LATE_US = 5000 };

/* ---- the format --------------------------------------------------------- */

enum {
    TRACE_PACKET = 1,
    PACKET_TIME = 8,
    PACKET_SEQUENCE = 10,
    PACKET_EVENT = 11,
    PACKET_TRACK = 60,
    TRACK_UUID = 1,
    TRACK_NAME = 2,
    TRACK_PROCESS = 3,
    TRACK_THREAD = 4,
    TRACK_PARENT = 5,
    TRACK_COUNTER = 8,
    PROCESS_PID = 1,
    PROCESS_NAME = 6,
    THREAD_PID = 1,
    THREAD_TID = 2,
    THREAD_NAME = 5,
    EVENT_NOTE = 4,
    EVENT_TYPE = 9,
    EVENT_TRACK = 11,
    EVENT_CATEGORY = 22,
    EVENT_NAME = 23,
    EVENT_COUNT = 30,
    EVENT_FLOW = 47,
    EVENT_LAST_FLOW = 48,
    NOTE_INT = 4,
    NOTE_TEXT = 6,
    NOTE_NAME = 10
};
enum { SLICE_BEGIN = 1, SLICE_END = 2, INSTANT = 3, COUNTER = 4 };
enum { PROCESS_TRACK = 1, LOST_TRACK };

typedef enum { A_TASK, A_DONE, A_CALL, A_BLOCK, AN_ASKING, A_STEP } slice;

struct wi_perfetto_thread {
    unsigned long tid;
    uint64_t      track, loop; /* loop 0: it has none yet */
    int64_t       last, loop_last;
    unsigned      deeper; /* steps that have begun and are too deep to be shown */
    unsigned      depth;
    struct {
        slice    kind;
        uint32_t number;
    } open[DEEP];
};

typedef struct wi_perfetto_thread thread;

struct wi_perfetto_pool {
    uint64_t serial, track;
    size_t   queued;
    unsigned running;
};

void wi_perfetto_flush(wi_perfetto *f)
{
    const unsigned char *at = f->buffer;
    while (f->out.n) {
        ssize_t n = write(f->fd, at, f->out.n);
        if (n > 0)
            at += n, f->out.n -= (size_t)n;
        else if (errno != EINTR)
            break; /* a full disk: what does not fit is not there */
    }
    f->out.n = 0;
}

static size_t open_packet(wi_perfetto *f)
{
    if (f->out.n > WI_PERFETTO_BUFFER - PACKET)
        wi_perfetto_flush(f);
    size_t packet = wi_proto_open(&f->out, TRACE_PACKET);
    wi_proto_int(&f->out, PACKET_SEQUENCE, 1);
    return packet;
}

/* ---- tracks ------------------------------------------------------------- */

/* A track, or an event. */
typedef struct {
    size_t packet, part;
} opened;

static opened open_track(wi_perfetto *f, uint64_t uuid, uint64_t parent, const char *name)
{
    size_t packet = open_packet(f);
    opened t = {packet, wi_proto_open(&f->out, PACKET_TRACK)};
    wi_proto_int(&f->out, TRACK_UUID, uuid);
    if (parent)
        wi_proto_int(&f->out, TRACK_PARENT, parent);
    wi_proto_text(&f->out, TRACK_NAME, name);
    return t;
}

static void close_part(wi_perfetto *f, opened o)
{
    wi_proto_close(&f->out, o.part);
    wi_proto_close(&f->out, o.packet);
}

static void process_track(wi_perfetto *f)
{
    char name[64] = "weir";
    wi_thread_read_name(name, sizeof name);
    opened t = open_track(f, PROCESS_TRACK, 0, name);
    size_t process = wi_proto_open(&f->out, TRACK_PROCESS);
    wi_proto_int(&f->out, PROCESS_PID, (uint64_t)getpid());
    wi_proto_text(&f->out, PROCESS_NAME, name);
    wi_proto_close(&f->out, process);
    close_part(f, t);
}

static uint64_t thread_track(wi_perfetto *f, const weir_record *r)
{
    uint64_t uuid = ++f->tracks;
    opened   t = open_track(f, uuid, PROCESS_TRACK, r->thread_name);
    size_t   of = wi_proto_open(&f->out, TRACK_THREAD);
    wi_proto_int(&f->out, THREAD_PID, (uint64_t)getpid());
    wi_proto_int(&f->out, THREAD_TID, r->thread);
    wi_proto_text(&f->out, THREAD_NAME, r->thread_name);
    wi_proto_close(&f->out, of);
    close_part(f, t);
    return uuid;
}

static uint64_t loop_track(wi_perfetto *f, const weir_record *r)
{
    char     name[WI_PROTO_TEXT];
    uint64_t uuid = ++f->tracks;
    snprintf(name, sizeof name, "loop of %s", r->thread_name ? r->thread_name : "a thread");
    close_part(f, open_track(f, uuid, PROCESS_TRACK, name));
    return uuid;
}

static uint64_t counter_track(wi_perfetto *f, const char *pool, const char *what)
{
    char     name[WI_PROTO_TEXT];
    uint64_t uuid = ++f->tracks;
    snprintf(name, sizeof name, "%.180s: %s", pool, what);
    opened t = open_track(f, uuid, PROCESS_TRACK, name);
    wi_proto_close(&f->out, wi_proto_open(&f->out, TRACK_COUNTER));
    close_part(f, t);
    return uuid;
}

/* ---- events ------------------------------------------------------------- */

static opened open_event(wi_perfetto *f, int64_t at, unsigned type, uint64_t track)
{
    opened e = {.packet = open_packet(f)};
    wi_proto_int(&f->out, PACKET_TIME, (uint64_t)at);
    e.part = wi_proto_open(&f->out, PACKET_EVENT);
    wi_proto_int(&f->out, EVENT_TYPE, type);
    wi_proto_int(&f->out, EVENT_TRACK, track);
    return e;
}

static void note_text(wi_perfetto *f, const char *name, const char *text)
{
    if (!text)
        return;
    size_t note = wi_proto_open(&f->out, EVENT_NOTE);
    wi_proto_text(&f->out, NOTE_NAME, name);
    wi_proto_text(&f->out, NOTE_TEXT, text);
    wi_proto_close(&f->out, note);
}

static void note_int(wi_perfetto *f, const char *name, int64_t value)
{
    size_t note = wi_proto_open(&f->out, EVENT_NOTE);
    wi_proto_text(&f->out, NOTE_NAME, name);
    wi_proto_int(&f->out, NOTE_INT, (uint64_t)value);
    wi_proto_close(&f->out, note);
}

static const char *outcome_word(int code)
{
    switch (code) {
    case 0: return "ok";
    case WEIR_ECANCELED: return "cancelled";
    case WEIR_EEXPIRED: return "expired";
    case WEIR_ECLOSED: return "closed";
    case WEIR_EFULL: return "full";
    case WEIR_PARK: return "parked";
    default: return "failed";
    }
}

/* "submit import", or what alone says it. */
static void name_event(wi_perfetto *f, const char *verb, const weir_record *r, const char *alone)
{
    char name[WI_PROTO_TEXT];
    snprintf(name, sizeof name, "%s%s%.160s", verb, *verb && r->label ? " " : "",
             r->label ? r->label
             : *verb  ? ""
                      : alone);
    wi_proto_text(&f->out, EVENT_NAME, name);
    wi_proto_text(&f->out, EVENT_CATEGORY, "weir");
}

static thread *thread_of(wi_perfetto *f, const weir_record *r)
{
    for (size_t i = 0; i < f->n_threads; i++)
        if (f->threads[i].tid == r->thread)
            return &f->threads[i];
    thread *more = realloc(f->threads, (f->n_threads + 1) * sizeof *more);
    if (!more)
        return NULL;
    f->threads = more;
    more[f->n_threads] = (thread){.tid = r->thread, .track = thread_track(f, r)};
    return &more[f->n_threads++];
}

static void begin_slice(wi_perfetto *f, thread *t, const weir_record *r, slice kind)
{
    static const char *const verbs[] = {"", "done", "call", "wait for", "run_in_main", ""};
    if (t->depth == DEEP) {
        t->deeper += kind == A_STEP;
        return;
    }
    opened e = open_event(f, t->last, SLICE_BEGIN, t->track);
    name_event(f, kind == A_BLOCK && !r->label ? "blocking" : verbs[kind], r,
               kind == A_STEP ? "step" : "task");
    if (kind != A_BLOCK && r->task)
        wi_proto_fixed(&f->out, kind == A_DONE || kind == A_CALL ? EVENT_LAST_FLOW : EVENT_FLOW,
                       r->task);
    note_text(f, "pool", r->pool);
    if (kind == A_DONE)
        note_text(f, "outcome", outcome_word(r->value));
    close_part(f, e);
    t->open[t->depth].kind = kind;
    t->open[t->depth++].number = r->task;
}

/* A task's end says which; the others are nested. False: it has no begin. */
static bool end_slice(wi_perfetto *f, thread *t, slice kind, const weir_record *r)
{
    unsigned at = t->depth;
    if (kind == A_STEP && t->deeper)
        return t->deeper--, true;
    while (at && (t->open[at - 1].kind != kind ||
                  (kind == A_TASK && r->task && t->open[at - 1].number != r->task)))
        at--;
    if (at == 0)
        return false;
    t->deeper = 0;
    while (t->depth >= at) {
        opened e = open_event(f, t->last, SLICE_END, t->track);
        if (t->depth == at && kind == A_TASK) {
            note_text(f, "outcome", outcome_word(r->value));
            note_int(f, "code", r->value);
        }
        close_part(f, e);
        t->depth--;
    }
    return true;
}

static void instant(wi_perfetto *f, thread *t, const weir_record *r, const char *name)
{
    opened e = open_event(f, t->last, INSTANT, t->track);
    name_event(f, name, r, "");
    if (r->task)
        wi_proto_fixed(&f->out, EVENT_FLOW, r->task);
    note_text(f, "pool", r->pool);
    if (r->event == WEIR_TRACE_SETTLED)
        note_text(f, "outcome", outcome_word(r->value));
    if (r->by)
        note_int(f, "by", r->by);
    close_part(f, e);
}

static void turned(wi_perfetto *f, thread *t, const weir_record *r)
{
    int64_t from = r->at - (int64_t)r->value * 1000;
    if (!t->loop)
        t->loop = loop_track(f, r);
    if (r->value < LATE_US)
        return;
    opened e = open_event(f, from > t->loop_last ? from : t->loop_last, SLICE_BEGIN, t->loop);
    wi_proto_text(&f->out, EVENT_NAME, "has not turned");
    wi_proto_text(&f->out, EVENT_CATEGORY, "weir");
    note_int(f, "ms", r->value / 1000);
    close_part(f, e);
    t->loop_last = r->at > t->loop_last ? r->at : t->loop_last;
    close_part(f, open_event(f, t->loop_last, SLICE_END, t->loop));
}

static void thread_ends(wi_perfetto *f, thread *t)
{
    for (; t->depth; t->depth--) /* of steps that were left open */
        close_part(f, open_event(f, t->last, SLICE_END, t->track));
    t->deeper = 0;
}

void wi_perfetto_put(wi_perfetto *f, const weir_record *r)
{
    thread *t = thread_of(f, r);
    if (!t)
        return;
    t->last = r->at > t->last ? r->at : t->last; /* time never goes back on a track */
    switch (r->event) {
    case WEIR_TRACE_QUEUED: instant(f, t, r, "submit"); break;
    case WEIR_TRACE_STARTED: begin_slice(f, t, r, A_TASK); break;
    case WEIR_TRACE_SETTLED:
        if (!end_slice(f, t, A_TASK, r))
            instant(f, t, r, "settled");
        break;
    case WEIR_TRACE_RAN: end_slice(f, t, A_TASK, r); break;
    case WEIR_TRACE_THREAD: r->value ? instant(f, t, r, "enters") : thread_ends(f, t); break;
    case WEIR_TRACE_GREW: instant(f, t, r, "grows"); break;
    case WEIR_TRACE_CLOSED: instant(f, t, r, "closed"); break;
    case WEIR_TRACE_DELIVERED: begin_slice(f, t, r, A_DONE); break;
    case WEIR_TRACE_DONE: end_slice(f, t, A_DONE, r); break;
    case WEIR_TRACE_CALLED: begin_slice(f, t, r, A_CALL); break;
    case WEIR_TRACE_RETURNED: end_slice(f, t, A_CALL, r); break;
    case WEIR_TRACE_BLOCKED: begin_slice(f, t, r, A_BLOCK); break;
    case WEIR_TRACE_UNBLOCKED: end_slice(f, t, A_BLOCK, r); break;
    case WEIR_TRACE_ASKED: begin_slice(f, t, r, AN_ASKING); break;
    case WEIR_TRACE_ANSWERED: end_slice(f, t, AN_ASKING, r); break;
    case WEIR_TRACE_TURNED: turned(f, t, r); break;
    case WEIR_TRACE_BEGAN: begin_slice(f, t, r, A_STEP); break;
    case WEIR_TRACE_ENDED: end_slice(f, t, A_STEP, r); break;
    }
}

/* ---- counters ----------------------------------------------------------- */

static void put_count(wi_perfetto *f, int64_t at, uint64_t track, uint64_t value)
{
    opened e = open_event(f, at, COUNTER, track);
    wi_proto_int(&f->out, EVENT_COUNT, value);
    close_part(f, e);
}

static struct wi_perfetto_pool *tracks_of(wi_perfetto *f, uint64_t serial, const char *name)
{
    for (size_t i = 0; i < f->n_pools; i++)
        if (f->pools[i].serial == serial)
            return &f->pools[i];
    struct wi_perfetto_pool *more = realloc(f->pools, (f->n_pools + 1) * sizeof *more);
    if (!more)
        return NULL;
    f->pools = more;
    more[f->n_pools] = (struct wi_perfetto_pool){.serial = serial, .queued = SIZE_MAX};
    more[f->n_pools].track = counter_track(f, name, "queued");
    counter_track(f, name, "running");
    return &more[f->n_pools++];
}

void wi_perfetto_count(wi_perfetto *f, uint64_t serial, const char *name, size_t queued,
                       unsigned running)
{
    struct wi_perfetto_pool *p = tracks_of(f, serial, name);
    int64_t                  now = weir_now();
    if (!p)
        return;
    if (queued != p->queued)
        put_count(f, now, p->track, queued);
    if (running != p->running || p->queued == SIZE_MAX)
        put_count(f, now, p->track + 1, running);
    p->queued = queued, p->running = running;
}

void wi_perfetto_count_lost(wi_perfetto *f, uint64_t lost)
{
    if (lost != f->lost)
        put_count(f, weir_now(), LOST_TRACK, f->lost = lost);
}

/* ---- begin and end ------------------------------------------------------ */

void wi_perfetto_begin(wi_perfetto *f, int fd)
{
    f->fd = fd;
    f->out.bytes = f->buffer;
    f->tracks = PROCESS_TRACK;
    process_track(f);
    counter_track(f, "trace", "records lost"); /* LOST_TRACK */
}

void wi_perfetto_end(wi_perfetto *f)
{
    close(f->fd);
    free(f->threads);
    free(f->pools);
}
