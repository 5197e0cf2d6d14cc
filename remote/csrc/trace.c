/* SPDX-License-Identifier: ISC
 *
 * trace: Perfetto's format, as far as slices on tracks of their own need it.
 *
 * A file has a sequence and tracks of its own, whose numbers begin with a random one, so that
 * files of several processes may be joined with cat, also with one of weir_trace_file. The
 * process's would not do, because each container has a process 1. Field
 * numbers are those of Perfetto's perfetto_trace.proto.
 */
#include "trace.h"

#include "say.h"
#include "weir_remote.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PACKET = 1, TIME = 8, SEQUENCE = 10, EVENT = 11, TRACK = 60 };
enum { TRACK_UUID = 1, TRACK_NAME = 2, TRACK_PARENT = 5, TRACK_PROCESS = 3, PID = 1 };
enum { NOTE = 4, TYPE = 9, ON_TRACK = 11, CATEGORY = 22, NAME = 23, FLOW = 47 };
enum { NOTE_INT = 4, NOTE_TEXT = 6, NOTE_NAME = 10 };
enum { BEGIN = 1, END = 2, ROOM = 1024, LENGTH = 3, BUFFER = 1 << 14 };

static struct {
    pthread_mutex_t lock;
    _Atomic bool    on;
    _Atomic pid_t   pid; /* a child of fork writes nothing */
    /* Guarded by lock. */
    int      fd;     /* -1: none */
    int      failed; /* why a write did; nothing is written after it */
    size_t   n_buffered;
    char     buffer[BUFFER];
    uint64_t tracks, number; /* number: of the file, 31 bits */
} trace = {.lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1};

/* ---- the format ------------------------------------------------------------------------ */

typedef struct {
    unsigned char bytes[ROOM];
    size_t        n;
} packet;

static void varint(packet *p, uint64_t v)
{
    for (; v >= 128; v >>= 7)
        p->bytes[p->n++] = (unsigned char)(v | 128);
    p->bytes[p->n++] = (unsigned char)v;
}

static void int_field(packet *p, unsigned field, uint64_t value)
{
    varint(p, field << 3);
    varint(p, value);
}

static void fixed(packet *p, unsigned field, uint64_t value)
{
    varint(p, field << 3 | 1);
    for (int i = 0; i < 8; i++)
        p->bytes[p->n++] = (unsigned char)(value >> 8 * i);
}

static void text(packet *p, unsigned field, const char *t)
{
    size_t n = strnlen(t, WEIR_REMOTE_NAME_MAX);
    varint(p, field << 3 | 2);
    varint(p, n);
    memcpy(p->bytes + p->n, t, n);
    p->n += n;
}

/* A message inside; its length stands in three bytes, whatever it is. */
static size_t open_field(packet *p, unsigned field)
{
    varint(p, field << 3 | 2);
    return p->n += LENGTH;
}

static void close_field(packet *p, size_t opened)
{
    size_t length = p->n - opened;
    for (int i = 0; i < LENGTH; i++)
        p->bytes[opened - LENGTH + (size_t)i] =
            (unsigned char)((length >> 7 * i & 127) | (i < LENGTH - 1 ? 128 : 0));
}

static size_t begin_packet(packet *p)
{
    size_t opened = open_field(p, PACKET);
    int_field(p, SEQUENCE, 1u << 31 | trace.number);
    return opened;
}

/* ---- what is written --------------------------------------------------------------------- */

static uint64_t uuid_of(uint64_t track) { return trace.number << 32 | track; }

static void track(packet *p, uint64_t n, const char *name)
{
    size_t packet_ = begin_packet(p), track_ = open_field(p, TRACK);
    int_field(p, TRACK_UUID, uuid_of(n));
    text(p, TRACK_NAME, name);
    if (n) {
        int_field(p, TRACK_PARENT, uuid_of(0));
    } else {
        size_t process = open_field(p, TRACK_PROCESS);
        int_field(p, PID, (uint64_t)trace.pid);
        close_field(p, process);
    }
    close_field(p, track_);
    close_field(p, packet_);
}

static void note(packet *p, const char *name, const char *value, int64_t n)
{
    size_t opened = open_field(p, NOTE);
    text(p, NOTE_NAME, name);
    if (value)
        text(p, NOTE_TEXT, value);
    else
        int_field(p, NOTE_INT, (uint64_t)n);
    close_field(p, opened);
}

/* FNV-1a: the same number in each process that has the job. */
static uint64_t flow_of(const char *id)
{
    uint64_t h = 14695981039346656037u;
    for (; *id; id++)
        h = (h ^ (unsigned char)*id) * 1099511628211u;
    return h;
}

static void begin_slice(packet *p, uint64_t on, const char *what, const char *name, const char *id,
                        int64_t at)
{
    size_t packet_ = begin_packet(p);
    int_field(p, TIME, (uint64_t)at);
    size_t event = open_field(p, EVENT);
    int_field(p, TYPE, BEGIN);
    int_field(p, ON_TRACK, uuid_of(on));
    text(p, CATEGORY, what);
    text(p, NAME, name);
    fixed(p, FLOW, flow_of(id));
    note(p, "id", id, 0);
    close_field(p, event);
    close_field(p, packet_);
}

static void end_slice(packet *p, uint64_t on, int64_t outcome)
{
    size_t packet_ = begin_packet(p);
    int_field(p, TIME, (uint64_t)weir_now());
    size_t event = open_field(p, EVENT);
    int_field(p, TYPE, END);
    int_field(p, ON_TRACK, uuid_of(on));
    note(p, "outcome", NULL, outcome);
    close_field(p, event);
    close_field(p, packet_);
}

static void flush_locked(void)
{
    for (size_t done = 0; done < trace.n_buffered && !trace.failed;) {
        ssize_t n = write(trace.fd, trace.buffer + done, trace.n_buffered - done);
        if (n > 0)
            done += (size_t)n;
        else if (errno != EINTR)
            trace.failed = errno;
    }
    trace.n_buffered = 0;
}

/* Each write is of whole packets, so that the file of a process that is killed can be read. */
static void write_locked(const packet *p)
{
    if (trace.n_buffered + p->n > BUFFER)
        flush_locked();
    memcpy(trace.buffer + trace.n_buffered, p->bytes, p->n);
    trace.n_buffered += p->n;
}

void wr_trace_slice(const char *what, const char *name, const char *id, int64_t begun,
                    int64_t outcome)
{
    packet p = {.n = 0};
    if (!atomic_load(&trace.on) || atomic_load(&trace.pid) != getpid())
        return;
    pthread_mutex_lock(&trace.lock);
    if (trace.fd >= 0) {
        uint64_t on = ++trace.tracks;
        track(&p, on, what);
        begin_slice(&p, on, what, name, id, begun);
        end_slice(&p, on, outcome);
        write_locked(&p);
    }
    pthread_mutex_unlock(&trace.lock);
}

/* ---- on and off -------------------------------------------------------------------------- */

static int start_file(const char *path)
{
    packet p = {.n = 0};
    char   id[WR_ID];
    int    code = wr_make_id(id);
    if (trace.fd >= 0)
        return wr_fail(WEIR_EBUSY, "weir_remote_trace: a trace is on");
    if (code)
        return code;
    trace.fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (trace.fd < 0)
        return wr_fail(WEIR_EINVAL, "weir_remote_trace: %s: %s", path, strerror(errno));
    trace.failed = 0;
    trace.n_buffered = 0;
    trace.pid = getpid();
    trace.tracks = 0;
    trace.number = flow_of(id) >> 33;
    track(&p, 0, "weir-remote");
    write_locked(&p);
    atomic_store(&trace.on, true);
    return 0;
}

static int stop_file(void)
{
    int fd = trace.fd;
    atomic_store(&trace.on, false);
    if (fd < 0)
        return 0;
    if (atomic_load(&trace.pid) == getpid())
        flush_locked();
    trace.fd = -1;
    if (close(fd) != 0 && !trace.failed)
        trace.failed = errno;
    return trace.failed ? wr_fail(WEIR_EINVAL, "weir_remote_trace: the file is not whole: %s",
                                  strerror(trace.failed))
                        : 0;
}

__attribute__((destructor)) static void end_at_exit(void)
{
    if (atomic_load(&trace.on) && atomic_load(&trace.pid) == getpid())
        weir_remote_trace(NULL);
}

int weir_remote_trace(const char *path)
{
    pthread_mutex_lock(&trace.lock);
    int code = path ? start_file(path) : stop_file();
    pthread_mutex_unlock(&trace.lock);
    return code;
}
