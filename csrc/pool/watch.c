/* SPDX-License-Identifier: ISC
 *
 * watch.c: a thread that tells of tasks that run too long, and of loops that do not turn.
 *
 * DESIGN. It looks several times per limit, and keeps nothing of what it saw: a thing is told
 * when its age has passed the limit, or a doubling of it, since the look before. Every age of
 * one look is taken at one moment, so that each is passed in exactly one look.
 *
 * Each weir_watch makes a watcher of its own, puts it in the place of the one before, and ends
 * that: two callers at once each end the other's or the old one. Only the exchange is under
 * the lock, which a fork takes. Its child forgets the watcher, whose thread stayed behind.
 */
#include "base/background.h"
#include "mailbox/lag.h"
#include "mailbox/pending.h"
#include "pool/pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LOOKS = 4, LONGEST_MS = 500, SHORTEST_MS = 2 };

typedef struct {
    weir_watch_options opts;
    wi_background      background;
    int64_t            now, before; /* this look, and the one before */
} watcher;

static wi_mutex           lock = WI_MUTEX;
static watcher           *current; /* guarded by lock */
static _Thread_local bool watches;

/* ---- what is told ------------------------------------------------------- */

static bool passes(const watcher *w, int64_t since, int64_t limit)
{
    while (limit <= w->before - since && limit <= INT64_MAX / 2)
        limit *= 2;
    return w->now - since >= limit;
}

static const char *length(char *out, size_t size, int64_t ns)
{
    double s = (double)ns / 1e9;
    if (s < 1)
        snprintf(out, size, "%d ms", (int)(s * 1000));
    else if (s < 10 && (int)(s * 10) % 10 != 0)
        snprintf(out, size, "%d.%d s", (int)s, (int)(s * 10) % 10);
    else
        snprintf(out, size, "%lld s", (long long)s);
    return out;
}

/* One write, so that it is one line among those of others. Who has closed stderr reads none. */
static void write_line(const char *text)
{
    char line[320];
    int  n = snprintf(line, sizeof line, "weir: %s\n", text);
    if (write(STDERR_FILENO, line, (size_t)n) < 0)
        return;
}

static void tell(const watcher *w, const weir_sighting *s)
{
    if (w->opts.tell)
        w->opts.tell(w->opts.arg, s);
    else
        write_line(s->text);
}

typedef struct {
    watcher   *w;
    weir_pool *p;
} look_at;

static void tell_task(const look_at *at, const weir_running *t)
{
    char text[256], age[32], where[96] = "the thread that submitted it";
    char label[128] = "a task";
    if (t->label)
        snprintf(label, sizeof label, "task '%.100s'", t->label);
    if (t->thread >= 0)
        snprintf(where, sizeof where, "%.80s/%d", at->p->name, t->thread);
    weir_sighting s = {.kind = WEIR_STUCK_TASK, .for_ns = at->w->now - t->since, .text = text};
    s.pool = at->p->name, s.label = t->label, s.thread = t->thread;
    snprintf(text, sizeof text, "%s has run for %s on %s%s", label,
             length(age, sizeof age, s.for_ns), where,
             t->cancel_requested ? ", though it was asked to stop" : "");
    tell(at->w, &s);
}

static void tell_loop(const watcher *w, const weir_main *m, int64_t since)
{
    char          text[128], age[32], which[64] = "the loop";
    weir_sighting s = {.kind = WEIR_STUCK_LOOP, .for_ns = w->now - since, .text = text};
    s.thread = -1, s.loop = m->tid;
    if (s.loop != (unsigned long)getpid())
        snprintf(which, sizeof which, "the loop of thread %lu", s.loop);
    snprintf(text, sizeof text, "%s has not turned for %s", which,
             length(age, sizeof age, s.for_ns));
    tell(w, &s);
}

/* ---- looking ------------------------------------------------------------ */

static void look_at_task(void *arg, const weir_running *t)
{
    look_at *at = arg;
    if (t->state == WEIR_TASK_RUNNING && passes(at->w, t->since, at->w->opts.task_ns))
        tell_task(at, t);
}

static void look_at_pool(void *arg, weir_pool *p)
{
    look_at at = {arg, p};
    weir_pool_each_running(p, look_at_task, &at);
}

/* What has nothing to do is nudged, to be found late at a later look. */
static void look_at_main(void *arg, weir_main *m)
{
    watcher *w = arg;
    int64_t  since = wi_lag_since(m);
    if (!wi_main_is_awaited(m))
        return;
    if (!since)
        wi_main_nudge(m);
    else if (passes(w, since, w->opts.loop_ns))
        tell_loop(w, m, since);
}

static int64_t period(const weir_watch_options *o)
{
    int64_t least =
        o->task_ns && (!o->loop_ns || o->task_ns < o->loop_ns) ? o->task_ns : o->loop_ns;
    int64_t ns = least / LOOKS, most = (int64_t)LONGEST_MS * 1000000;
    int64_t fewest = (int64_t)SHORTEST_MS * 1000000;
    return ns > most ? most : ns < fewest ? fewest : ns;
}

static void *watch(void *arg)
{
    watcher *w = arg;
    watches = true;
    wi_thread_name("weir", "watch");
    while (!wi_background_ends(&w->background)) {
        w->now = weir_now();
        if (w->opts.task_ns)
            weir_each_pool(look_at_pool, w);
        if (w->opts.loop_ns)
            weir_each_main(look_at_main, w);
        w->before = w->now;
        wi_background_sleep(&w->background, period(&w->opts));
    }
    return NULL;
}

/* ---- beginning and end -------------------------------------------------- */

static void take(void) { wi_mutex_lock(&lock); }
static void unlock_it(void) { wi_mutex_unlock(&lock); }

static void forget(void)
{
    free(current);
    current = NULL;
    unlock_it();
}

static int make_watcher(watcher **out, const weir_watch_options *opts)
{
    static weir_fork_hook hook = {.before = take, .in_parent = unlock_it, .in_child = forget};
    watcher              *w = calloc(1, sizeof *w);
    if (!w || weir_on_fork(&hook) != 0) {
        free(w);
        return WEIR_ENOMEM;
    }
    w->opts = *opts;
    w->before = INT64_MIN / 2; /* what is too old already is told at the first look */
    int rc = wi_background_start(&w->background, watch, w);
    if (rc != 0)
        free(w);
    else
        *out = w;
    return rc;
}

static void end_watcher(watcher *w)
{
    if (!w)
        return;
    wi_background_end(&w->background);
    free(w);
}

static bool has_no_limit(const weir_watch_options *o)
{
    return o->size == 0 || o->size > sizeof *o || o->task_ns < 0 || o->loop_ns < 0 ||
           (o->task_ns == 0 && o->loop_ns == 0);
}

int weir_watch(const weir_watch_options *given)
{
    weir_watch_options o = {0};
    watcher           *w = NULL;
    if (watches)
        return WEIR_EDEADLK;
    if (given)
        memcpy(&o, given, given->size <= sizeof o ? given->size : sizeof given->size);
    if (given && has_no_limit(&o))
        return WEIR_EINVAL;
    int rc = given ? make_watcher(&w, &o) : 0;
    if (rc != 0)
        return rc;
    take();
    watcher *before = current;
    current = w;
    unlock_it();
    end_watcher(before);
    return 0;
}
