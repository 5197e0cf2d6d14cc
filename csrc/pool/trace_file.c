/* SPDX-License-Identifier: ISC
 *
 * trace_file.c: a trace in a file, which a thread writes while the program runs.
 *
 * DESIGN. The thread reads records some hundred times a second, gives each to base/perfetto, and
 * asks each pool how many tasks are queued and run. So that a loop that has nothing to deliver
 * is seen as well, it nudges every main: the loop then turns, and records how late it is.
 */
#include "pool/trace_file.h"

#include "base/background.h"
#include "base/perfetto.h"
#include "base/record.h"
#include "mailbox/lag.h"
#include "mailbox/pending.h"
#include "pool/pool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PERIOD_MS = 10, RING = 1 << 14, LOT = 1024 };

typedef struct {
    wi_background background;
    weir_record   lot[LOT];
    wi_perfetto   out;
} trace;

/* ---- the thread --------------------------------------------------------- */

static void count_pool(void *arg, weir_pool *p)
{
    weir_pool_stats s = {.size = sizeof s};
    if (weir_pool_get_stats(p, &s) == 0)
        wi_perfetto_count(arg, p->serial, p->name, s.queued, s.running);
}

static void nudge_main(void *arg, weir_main *m)
{
    (void)arg;
    if (wi_main_is_awaited(m) && !wi_lag_since(m))
        wi_main_nudge(m);
}

static void drain(trace *t)
{
    size_t n;
    while ((n = weir_trace_read(t->lot, LOT)))
        for (size_t i = 0; i < n; i++)
            wi_perfetto_put(&t->out, &t->lot[i]);
    weir_each_pool(count_pool, &t->out);
    wi_perfetto_count_lost(&t->out, weir_trace_lost());
    wi_perfetto_flush(&t->out);
}

static void *write_on(void *arg)
{
    trace *t = arg;
    bool   last = false;
    wi_thread_name("weir", "trace");
    while (!last) {
        last = wi_background_ends(&t->background);
        drain(t);
        weir_each_main(nudge_main, NULL);
        if (!last)
            wi_background_sleep(&t->background, (int64_t)PERIOD_MS * 1000000);
    }
    return NULL;
}

/* ---- begin and end ------------------------------------------------------ */

static wi_mutex lock = WI_MUTEX;
static trace   *current; /* guarded by lock */

static void hold_current(void) { wi_mutex_lock(&lock); }
static void release_current(void) { wi_mutex_unlock(&lock); }

static void free_trace(trace *t)
{
    wi_perfetto_end(&t->out);
    free(t);
}

static void forget_current(void)
{
    if (current)
        free_trace(current);
    current = NULL;
    release_current();
}

static int make_trace(trace **out, const char *path)
{
    static weir_fork_hook hook = {
        .before = hold_current, .in_parent = release_current, .in_child = forget_current};
    trace *t = calloc(1, sizeof *t);
    if (!t || weir_on_fork(&hook) != 0) {
        free(t);
        return WEIR_ENOMEM;
    }
    int fd = wi_fd_above(open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
    if (fd < 0) {
        free(t);
        return WEIR_EINVAL;
    }
    wi_perfetto_begin(&t->out, fd);
    *out = t;
    return 0;
}

static int begin_trace(const char *path)
{
    trace *t;
    int    rc = weir_trace_start(RING);
    if (rc != 0)
        return rc;
    rc = make_trace(&t, path);
    if (rc == 0 && (rc = wi_background_start(&t->background, write_on, t)) != 0)
        free_trace(t);
    if (rc != 0) {
        weir_trace_stop();
        return rc;
    }
    hold_current();
    current = t;
    release_current();
    return 0;
}

static int end_trace(void)
{
    hold_current();
    trace *t = current;
    current = NULL;
    release_current();
    if (!t)
        return 0;
    wi_background_end(&t->background);
    weir_trace_stop();
    free_trace(t);
    return 0;
}

int weir_trace_file(const char *path) { return path ? begin_trace(path) : end_trace(); }

/* ---- WEIR_TRACE --------------------------------------------------------- */

static void end_at_exit(void) { end_trace(); }

/* %p in the name becomes the number of the process. */
static void begin_as_asked(void)
{
    const char *given = wi_asked("WEIR_TRACE"), *pid = given ? strstr(given, "%p") : NULL;
    char        path[4096];
    if (!given || !*given)
        return;
    int n = pid ? snprintf(path, sizeof path, "%.*s%ld%s", (int)(pid - given), given,
                           (long)getpid(), pid + 2)
                : snprintf(path, sizeof path, "%s", given);
    int rc = n < (int)sizeof path ? begin_trace(path) : WEIR_EINVAL;
    if (rc != 0)
        fprintf(stderr, "weir: WEIR_TRACE: cannot trace to '%s': %s\n", path,
                rc == WEIR_EINVAL ? strerror(errno) : weir_strerror(rc));
    else
        atexit(end_at_exit);
}

void wi_trace_as_asked(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, begin_as_asked);
}

/* ---- what the program does itself ---------------------------------------- */

void weir_trace_begin(const char *label)
{
    wi_trace_as_asked();
    if (wi_is_traced() & WI_RECORDED)
        wi_record(WEIR_TRACE_BEGAN, NULL, &(wi_name){.label = weir_label(label)}, 0);
}

void weir_trace_end(void) { wi_record_if(WEIR_TRACE_ENDED, NULL, NULL, 0); }
