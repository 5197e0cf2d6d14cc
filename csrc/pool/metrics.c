/* SPDX-License-Identifier: ISC
 *
 * metrics.c: what all pools and loops of the process do, in Prometheus' text format.
 *
 * The pools are held first, then looked at one by one, then written: no text is made under a
 * lock, and a pool that is released meanwhile stays until its numbers are written.
 */
#include "mailbox/lag.h"
#include "pool/pool.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    weir_pool        *pool;
    weir_pool_stats   stats;
    weir_pool_options opts;
    uint64_t          histogram[2][WEIR_BUCKETS], times[2];
} view;

/* ---- the pools ------------------------------------------------------------ */

static void look(view *v, weir_pool *p)
{
    v->pool = p;
    wi_lock(&p->lock);
    wi_pool_snapshot_locked(p, &v->stats);
    v->opts = p->opts;
    for (int i = 0; i < 2; i++)
        wi_times_coarse(p->fine[i], v->histogram[i]);
    memcpy(v->times, p->times, sizeof v->times);
    wi_unlock(&p->lock);
}

/* ---- the loops ------------------------------------------------------------ */

typedef struct {
    unsigned        number;
    weir_main_stats stats;
} loop;

typedef struct {
    loop  *all;
    size_t n, room;
    bool   failed;
} loops;

/* A main of a thread that serves a pool is no loop: what it waits for is its task's. */
static void add_loop(void *arg, weir_main *m)
{
    loops *l = arg;
    if (m->served || l->failed)
        return;
    if (l->n == l->room) {
        loop *more = realloc(l->all, (2 * l->room + 4) * sizeof *more);
        if ((l->failed = !more))
            return;
        l->all = more;
        l->room = 2 * l->room + 4;
    }
    l->all[l->n] = (loop){.number = m->number, .stats.size = sizeof l->all->stats};
    weir_main_get_stats(m, &l->all[l->n++].stats);
}

/* ---- text ------------------------------------------------------------------ */

typedef struct {
    char  *buffer;
    size_t size, length; /* the text's, also where it does not fit */
} text;

__attribute__((format(printf, 2, 3))) static void add(text *t, const char *format, ...)
{
    bool    fits = t->length < t->size;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(fits ? t->buffer + t->length : NULL, fits ? t->size - t->length : 0, format,
                      args);
    va_end(args);
    t->length += n > 0 ? (size_t)n : 0;
}

/* How many bytes the character at s has in UTF-8; 0: it is none. */
static size_t utf8_length(const char *s)
{
    unsigned char c = (unsigned char)*s;
    size_t        n = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
    for (size_t i = 1; i < n; i++)
        if (((unsigned char)s[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

/* A label's value may be any UTF-8; what is none becomes a question mark. */
static void add_escaped(text *t, const char *s)
{
    for (size_t n; *s; s += n ? n : 1) {
        n = utf8_length(s);
        if (*s == '\n')
            add(t, "\\n");
        else if (*s == '"' || *s == '\\')
            add(t, "\\%c", *s);
        else
            add(t, "%.*s", n ? (int)n : 1, n ? s : "?");
    }
}

static void add_seconds(text *t, uint64_t ns)
{
    add(t, "%llu.%09llu", (unsigned long long)ns / 1000000000, (unsigned long long)ns % 1000000000);
}

/* The name, and the labels up to the brace that closes them. */
static void add_name(text *t, const char *name, const char *suffix, const view *v)
{
    add(t, "%s%s{pool=\"", name, suffix);
    add_escaped(t, v->pool->name);
    add(t, "\"");
    if (v->pool->namesake)
        add(t, ",namesake=\"%u\"", v->pool->namesake);
}

static void add_header(text *t, const char *name, const char *help, const char *type)
{
    add(t, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* ---- numbers --------------------------------------------------------------- */

/* A field of a snapshot. Rows of one name follow each other, and differ in their label. */
static const struct row {
    const char *name, *label, *type, *help;
    size_t      at, size;
    bool        seconds; /* the field is in nanoseconds */
} rows[] = {
#define ROW(name, label, type, help, field, seconds)                                               \
    {                                                                                              \
        "weir_pool_" name, label, type, help, offsetof(weir_pool_stats, field),                    \
            sizeof((weir_pool_stats *)0)->field, seconds                                           \
    }
#define GAUGE(name, field, help) ROW(name, "", "gauge", help, field, false)
#define AGE(name, field, help) ROW(name "_seconds", "", "gauge", help, field, true)
#define COUNTER(name, field, help) ROW(name "_total", "", "counter", help, field, false)
#define OUTCOME(field)                                                                             \
    ROW("tasks_settled_total", ",outcome=\"" #field "\"", "counter",                               \
        "Tasks that have ended, by their outcome.", field, false)
    GAUGE("threads", threads, "Threads that serve the pool."),
    GAUGE("threads_idle", idle, "Threads without a task."),
    GAUGE("threads_blocked", blocked, "Threads that wait for another task of the pool."),
    GAUGE("threads_wanted", wanted, "Threads asked of the host that have not come yet."),
    GAUGE("threads_lost", lost, "Threads whose task was given up and that still run it."),
    GAUGE("tasks_queued", queued, "Tasks that wait for a thread."),
    GAUGE("tasks_running", running, "Tasks that a thread runs."),
    GAUGE("tasks_parked", parked, "Tasks that gave their thread back and wait."),
    AGE("oldest_queued", oldest_queued_ns, "For how long the oldest queued task has waited."),
    AGE("oldest_running", oldest_running_ns, "For how long the longest-running task has run."),
    COUNTER("tasks_submitted", submitted, "Tasks that the pool accepted."),
    OUTCOME(ok),
    OUTCOME(failed),
    OUTCOME(cancelled),
    OUTCOME(expired),
    OUTCOME(closed),
    OUTCOME(dropped),
    COUNTER("tasks_refused", refused, "Tasks refused because the queue was full."),
    COUNTER("tasks_abandoned", abandoned, "Tasks given up while they ran; also in cancelled."),
    COUNTER("wakes", wakes, "Idle threads woken for a task."),
    COUNTER("threads_grown", grown, "Threads asked for after the open."),
    COUNTER("threads_retired", retired, "Threads that left before the close."),
    COUNTER("threads_refused", lends_refused, "Threads that could not be had."),
};

static uint64_t value_of(const struct row *row, const weir_pool_stats *s)
{
    uint64_t wide;
    unsigned narrow;
    if (row->size == sizeof wide)
        return memcpy(&wide, (const char *)s + row->at, sizeof wide), wide;
    return memcpy(&narrow, (const char *)s + row->at, sizeof narrow), narrow;
}

static void add_value(text *t, const struct row *row, uint64_t value)
{
    if (row->seconds)
        add_seconds(t, value);
    else
        add(t, "%llu", (unsigned long long)value);
    add(t, "\n");
}

static void add_row(text *t, const struct row *row, const view *views, size_t n)
{
    if (row == rows || strcmp(row->name, row[-1].name) != 0)
        add_header(t, row->name, row->help, row->type);
    for (size_t i = 0; i < n; i++) {
        add_name(t, row->name, "", &views[i]);
        add(t, "%s} ", row->label);
        add_value(t, row, value_of(row, &views[i].stats));
    }
}

/* ---- histograms ------------------------------------------------------------ */

/* Bounds of 2^n nanoseconds: from a microsecond to a minute, each four times the one before. */
enum { FIRST_BOUND = 10, LAST_BOUND = 36, BOUND_STEP = 2 };

static void add_buckets(text *t, const char *name, const view *v, weir_histogram which)
{
    uint64_t below = 0;
    int      i = 0;
    for (int bound = FIRST_BOUND; bound <= LAST_BOUND; bound += BOUND_STEP) {
        for (; i <= bound; i++)
            below += v->histogram[which][i];
        add_name(t, name, "_bucket", v);
        add(t, ",le=\"");
        add_seconds(t, (uint64_t)1 << bound);
        add(t, "\"} %llu\n", (unsigned long long)below);
    }
    for (; i < WEIR_BUCKETS; i++)
        below += v->histogram[which][i];
    add_name(t, name, "_bucket", v);
    add(t, ",le=\"+Inf\"} %llu\n", (unsigned long long)below);
    add_name(t, name, "_sum", v);
    add(t, "} ");
    add_seconds(t, v->times[which]);
    add(t, "\n");
    add_name(t, name, "_count", v);
    add(t, "} %llu\n", (unsigned long long)below);
}

static void add_histogram(text *t, const char *name, const char *help, weir_histogram which,
                          const view *views, size_t n)
{
    add_header(t, name, help, "histogram");
    for (size_t i = 0; i < n; i++)
        if (views[i].opts.measure)
            add_buckets(t, name, &views[i], which);
}

/* ---- loops ----------------------------------------------------------------- */

static void add_loop_name(text *t, const char *name, const loop *l)
{
    add(t, "%s{loop=\"%u\"} ", name, l->number);
}

static void add_loop_times(text *t, const char *name, const char *help, const loops *l,
                           size_t field)
{
    add_header(t, name, help, "gauge");
    for (size_t i = 0; i < l->n; i++) {
        int64_t ns;
        memcpy(&ns, (const char *)&l->all[i].stats + field, sizeof ns);
        add_loop_name(t, name, &l->all[i]);
        add_seconds(t, (uint64_t)ns);
        add(t, "\n");
    }
}

static void add_loops(text *t, const loops *l)
{
    add_header(t, "weir_loop_pending", "Deliveries that are to come to the loop.", "gauge");
    for (size_t i = 0; i < l->n; i++) {
        add_loop_name(t, "weir_loop_pending", &l->all[i]);
        add(t, "%zu\n", l->all[i].stats.pending);
    }
    add_loop_times(t, "weir_loop_lag_seconds", "For how long the oldest delivery has been there.",
                   l, offsetof(weir_main_stats, lag_ns));
    add_loop_times(t, "weir_loop_unturned_seconds",
                   "For how long the loop has not turned to weir though it had to.", l,
                   offsetof(weir_main_stats, unturned_ns));
}

/* ---- all of it ------------------------------------------------------------- */

static void add_all(text *t, const view *views, size_t n, const loops *l)
{
    add_header(t, "weir_info", "The version of weir.", "gauge");
    add(t, "weir_info{version=\"" WEIR_VERSION "\"} 1\n");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        add_row(t, &rows[i], views, n);
    add_histogram(t, "weir_pool_queue_time_seconds", "How long started tasks waited for a thread.",
                  WEIR_QUEUE_TIME, views, n);
    add_histogram(t, "weir_pool_run_time_seconds", "How long ended tasks ran.", WEIR_RUN_TIME,
                  views, n);
    add_loops(t, l);
}

int weir_metrics(char *buffer, size_t size)
{
    text    t = {buffer, size, 0};
    loops   l = {0};
    wi_pin *pins;
    size_t  n;
    if (!buffer && size)
        return WEIR_EINVAL;
    if (wi_pools_hold(&pins, &n) != 0)
        return WEIR_ENOMEM;
    view *views = calloc(n + 1, sizeof *views); /* never 0 */
    bool  all = views && weir_each_main(add_loop, &l) == 0 && !l.failed;
    for (size_t i = 0; all && i < n; i++)
        look(&views[i], pins[i].pool);
    if (all)
        add_all(&t, views, n, &l);
    wi_pools_let_go(pins, n);
    free(l.all);
    free(views);
    return all ? (int)t.length : WEIR_ENOMEM;
}
