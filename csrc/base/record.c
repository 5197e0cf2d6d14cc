/* SPDX-License-Identifier: ISC
 *
 * record.c: events, as records in a ring per thread.
 *
 * DESIGN. A thread writes into a ring of its own, which it makes at its first event: it fills
 * the place at `head`, then moves `head`. One reader at a time, under the lock, copies what
 * stands between `tail` and `head`, then moves `tail`. Neither waits for the other. A record
 * that finds the ring full is lost, and counted.
 *
 *   ring    made by            read by            freed by
 *   owned   its thread         weir_trace_read    its thread's stop or end, if nothing is recorded
 *   left    (its thread ended) weir_trace_read    the reader that finds it empty, or a stop
 *
 * The list of rings, and who frees one, are guarded by the lock. A fork takes it last, and the
 * child forgets the rings of the threads that stayed behind.
 *
 * Times are counts of the processor's clock where the system itself goes by that, because
 * such a read costs a third. A read converts them along the line between two moments at
 * which both clocks were read.
 */
#include "base/record.h"

#include "base/list.h"
#include "base/platform.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <x86intrin.h>
#define TICKS 1
#endif

typedef struct {
    uint64_t    at;
    const char *label, *pool;
    uint32_t    task, by;
    int32_t     value;
    uint32_t    event;
} record;

typedef struct {
    weir_link        of_rings; /* guarded by the lock, and left */
    bool             left;     /* its thread has ended */
    unsigned         mask;     /* constant, and name, thread */
    const char      *name;
    unsigned long    thread;
    _Atomic uint64_t lost;
    _Alignas(64) _Atomic uint32_t head; /* written by the thread */
    _Alignas(64) _Atomic uint32_t tail; /* written by a reader */
    record records[];
} ring;

_Atomic unsigned wi_traced;

static wi_mutex            lock = WI_MUTEX;
static wi_list             rings;       /* guarded by lock, and all down to the key */
static unsigned            capacity;    /* of rings to come; 0: nothing is recorded */
static uint64_t            lost_before; /* in rings that are gone */
static pthread_key_t       key;
static bool                has_key;
static bool                ticks; /* constant since the key was made */
static _Thread_local ring *mine;

/* The tick count and the time at two moments. */
static struct {
    uint64_t tick[2];
    int64_t  ns[2];
} line;

void wi_trace_for(unsigned whom, bool on)
{
    if (on)
        atomic_fetch_or(&wi_traced, whom);
    else
        atomic_fetch_and(&wi_traced, ~whom);
}

/* ---- the clock ---------------------------------------------------------- */

#ifdef TICKS
static bool system_goes_by_ticks(void)
{
    char name[8] = "";
    int  fd = open("/sys/devices/system/clocksource/clocksource0/current_clocksource",
                   O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && read(fd, name, 4) < 0)
        name[0] = 0;
    if (fd >= 0)
        close(fd);
    return strncmp(name, "tsc\n", 4) == 0;
}

/* Acquire: its partner is the wi_trace_for of a start, which comes after the key. */
uint64_t wi_record_clock(void)
{
    (void)atomic_load_explicit(&wi_traced, memory_order_acquire);
    return ticks ? __rdtsc() : (uint64_t)weir_now();
}
#else
static bool system_goes_by_ticks(void) { return false; }

uint64_t wi_record_clock(void) { return (uint64_t)weir_now(); }
#endif

static void begin_line_locked(void)
{
    line.tick[0] = line.tick[1] = wi_record_clock();
    line.ns[0] = line.ns[1] = weir_now();
}

/* The line goes on from where the one before ended, so that time never goes back. Two moments
 * too near would give it any slope. */
static void extend_line_locked(void)
{
    int64_t now = weir_now();
    if (line.tick[0] != line.tick[1] && now - line.ns[1] < 5000000)
        return;
    line.tick[0] = line.tick[1], line.ns[0] = line.ns[1];
    line.tick[1] = wi_record_clock(), line.ns[1] = now;
}

static int64_t time_of(uint64_t at)
{
    double slope = line.tick[1] == line.tick[0]
                       ? 1
                       : (double)(line.ns[1] - line.ns[0]) / (double)(line.tick[1] - line.tick[0]);
    return ticks ? line.ns[0] + (int64_t)((double)(int64_t)(at - line.tick[0]) * slope)
                 : (int64_t)at;
}

/* ---- a thread's ring ---------------------------------------------------- */

static void free_ring_locked(ring *r)
{
    lost_before += atomic_load(&r->lost);
    wi_unlink(&r->of_rings);
    free(r);
}

/* A destructor of the program's that comes later makes a new one, whose turn comes again. */
static void leave_ring(void *arg)
{
    ring *r = arg;
    mine = NULL;
    wi_lock(&lock);
    r->left = true;
    if (capacity == 0)
        free_ring_locked(r);
    wi_unlock(&lock);
}

/* Else the key would outlive the code that it names. */
WI_AT_UNLOAD static void drop_key(void)
{
    if (has_key)
        pthread_key_delete(key);
}

static ring *make_ring(unsigned n)
{
    char   name[64] = "thread";
    size_t size = sizeof(ring) + n * sizeof(record);
    ring  *r = aligned_alloc(64, (size + 63) / 64 * 64);
    if (!r)
        return NULL;
    memset(r, 0, sizeof *r);
    wi_thread_read_name(name, sizeof name);
    r->mask = n - 1;
    r->name = weir_label(name);
    r->thread = wi_thread_id();
    return r;
}

static __attribute__((cold, noinline)) ring *begin_ring(void)
{
    wi_lock(&lock);
    unsigned n = capacity;
    wi_unlock(&lock);
    ring *r = n ? make_ring(n) : NULL;
    if (!r)
        return NULL;
    wi_lock(&lock);
    bool on = capacity != 0 && pthread_setspecific(key, r) == 0;
    if (on)
        wi_list_append(&rings, &r->of_rings);
    else
        lost_before++;
    wi_unlock(&lock);
    if (!on)
        free(r);
    return mine = on ? r : NULL;
}

static _Atomic unsigned numbers;

/* Relaxed: a number is a name, and publishes nothing. */
unsigned wi_record_number(void)
{
    unsigned n;
    do
        n = atomic_fetch_add_explicit(&numbers, 1, memory_order_relaxed) + 1;
    while (n == 0);
    return n;
}

/* Release and acquire of head, and of tail, are each other's partner: who sees a place filled
 * or free sees what was done to it before. The thread's own is read relaxed, as is lost. */
void wi_record(unsigned event, const char *pool, const wi_name *name, int value)
{
    ring *r = mine ? mine : begin_ring();
    if (!r)
        return;
    uint32_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    if (head - atomic_load_explicit(&r->tail, memory_order_acquire) > r->mask) {
        atomic_fetch_add_explicit(&r->lost, 1, memory_order_relaxed);
        return;
    }
    record *e = &r->records[head & r->mask];
    *e = (record){.at = name && name->at ? name->at : wi_record_clock(), .pool = pool};
    e->event = event, e->value = value;
    if (name)
        e->label = name->label, e->task = name->number, e->by = name->by;
    atomic_store_explicit(&r->head, head + 1, memory_order_release);
}

/* ---- start, stop, read -------------------------------------------------- */

static int key_locked(void)
{
    if (has_key)
        return 0;
    if (pthread_key_create(&key, leave_ring) != 0)
        return WEIR_EAGAIN;
    wi_list_init(&rings);
    ticks = system_goes_by_ticks();
    has_key = true;
    return 0;
}

static unsigned power_of_2(unsigned n)
{
    unsigned power = 16;
    while (power < n)
        power *= 2;
    return power;
}

/* What rings of before still hold is forgotten. */
static int begin_trace_locked(unsigned n)
{
    if (capacity)
        return WEIR_EBUSY;
    int rc = key_locked();
    if (rc != 0)
        return rc;
    begin_line_locked();
    for (weir_link *e = wi_list_first(&rings); e; e = wi_list_after(&rings, e)) {
        ring *r = wi_container(e, ring, of_rings);
        atomic_store(&r->tail, atomic_load(&r->head));
        atomic_store(&r->lost, 0);
    }
    lost_before = 0;
    capacity = power_of_2(n);
    return 0;
}

int weir_trace_start(unsigned per_thread)
{
    if (per_thread > WEIR_MAX_RECORDS)
        return WEIR_EINVAL;
    wi_lock(&lock);
    int rc = begin_trace_locked(per_thread ? per_thread : WEIR_RECORDS);
    wi_unlock(&lock);
    if (rc == 0)
        wi_trace_for(WI_RECORDED, true);
    return rc;
}

void weir_trace_stop(void)
{
    wi_trace_for(WI_RECORDED, false);
    wi_lock(&lock);
    capacity = 0;
    for (weir_link *e = has_key ? wi_list_first(&rings) : NULL, *next; e; e = next) {
        ring *r = wi_container(e, ring, of_rings);
        next = wi_list_after(&rings, e);
        if (!r->left && r != mine)
            continue; /* its thread frees it as it ends */
        if (r == mine)
            pthread_setspecific(key, mine = NULL);
        free_ring_locked(r);
    }
    wi_unlock(&lock);
}

static size_t read_ring_locked(ring *r, weir_record *out, size_t n)
{
    uint32_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed), from = tail;
    uint32_t head = atomic_load_explicit(&r->head, memory_order_acquire);
    for (; tail != head && tail - from < n; tail++) {
        const record *e = &r->records[tail & r->mask];
        out[tail - from] = (weir_record){.at = time_of(e->at),
                                         .event = e->event,
                                         .value = e->value,
                                         .task = e->task,
                                         .by = e->by,
                                         .label = e->label,
                                         .pool = e->pool,
                                         .thread = r->thread,
                                         .thread_name = r->name};
    }
    atomic_store_explicit(&r->tail, tail, memory_order_release);
    if (tail == head && r->left)
        free_ring_locked(r);
    return tail - from;
}

size_t weir_trace_read(weir_record *out, size_t n)
{
    size_t got = 0;
    wi_lock(&lock);
    if (capacity && out)
        extend_line_locked();
    for (weir_link *e = capacity && out ? wi_list_first(&rings) : NULL, *next; e; e = next) {
        next = wi_list_after(&rings, e);
        got += read_ring_locked(wi_container(e, ring, of_rings), out + got, n - got);
    }
    wi_unlock(&lock);
    return got;
}

uint64_t weir_trace_lost(void)
{
    wi_lock(&lock);
    uint64_t n = lost_before;
    for (weir_link *e = has_key ? wi_list_first(&rings) : NULL; e; e = wi_list_after(&rings, e))
        n += atomic_load(&wi_container(e, ring, of_rings)->lost);
    wi_unlock(&lock);
    return n;
}

/* ---- fork --------------------------------------------------------------- */

void wi_record_hold(void) { wi_mutex_lock(&lock); }
void wi_record_release(void) { wi_mutex_unlock(&lock); }

void wi_record_forked(void)
{
    wi_trace_for(WI_RECORDED, false);
    capacity = 0;
    for (weir_link *e = has_key ? wi_list_first(&rings) : NULL, *next; e; e = next) {
        ring *r = wi_container(e, ring, of_rings);
        next = wi_list_after(&rings, e);
        if (r != mine)
            free_ring_locked(r);
    }
    wi_record_release();
}
