/* SPDX-License-Identifier: ISC
 *
 * calls.c: any sequence of calls, beside a small model of the contract.
 *
 * One thread makes the calls that the bytes name, on two pools (owned, lazy or borrowed) and one
 * main that may close at any time. The model knows of each task whether it was accepted, and of
 * each pool whether it is closed. So it knows what a run may return; that each accepted task is
 * done once, with an outcome that the header allows; that a close that was waited for leaves
 * nothing; that a child of fork, and its child, can give everything back.
 */
#include "weir.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define expect(cond)                                                                               \
    ((cond) ? (void)0 : (fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond), abort()))

enum { POOLS = 2, SLOTS = 12, LENT = 8, NOTICES = 8, FORKS = 2 };

enum kind { RETURNS, FAILS, PARKS, ASKS, KINDS };

typedef struct {
    weir_task   task;
    enum kind   kind;
    _Atomic int busy; /* accepted, and not done */
    _Atomic int parks;
} slot;

typedef struct {
    weir_pool *pool;
    bool       closed; /* by a call that has returned */
    bool       refuses;
} model;

static model       pools[POOLS];
static slot        slots[SLOTS];
static weir_main  *loop;
static pthread_t   lent[LENT];
static _Atomic int n_lent, notices_due;
static weir_notice notices[NOTICES];
static int         n_notices, n_forks;

static const uint8_t *at, *end;

static unsigned byte(void) { return at < end ? *at++ : 0; }

/* ---- tasks --------------------------------------------------------------------- */

static void answers(weir_call *call, void *arg)
{
    weir_call_finish(call, ((slot *)arg)->parks ? 3 : 0, arg);
}

static int run(weir_task *task, void *state)
{
    slot *s = (slot *)task;
    void *result = NULL;
    (void)state;
    expect(weir_task_current() == task && s->busy == 1);
    if (weir_cancel_requested(task))
        return WEIR_ECANCELED;
    if (s->kind == PARKS && atomic_fetch_sub(&s->parks, 1) > 0)
        return WEIR_PARK;
    if (s->kind == ASKS) {
        int rc = weir_run_in_main(NULL, answers, s, &result);
        expect(rc == 0 || rc == 3 || rc == WEIR_ECLOSED || rc == WEIR_EDEADLK);
        expect(result == (rc == 0 ? s : NULL));
    }
    return s->kind == FAILS ? 9 : 0;
}

static void done(weir_task *task)
{
    slot *s = (slot *)task;
    int   o = weir_task_outcome(task);
    expect(o == 0 || o == WEIR_ECANCELED || o == WEIR_ECLOSED || o == WEIR_EFULL ||
           o == WEIR_EEXPIRED || o == WEIR_EAGAIN || (o == 9 && s->kind == FAILS));
    expect(atomic_fetch_sub(&s->busy, 1) == 1);
}

static weir_main *main_here(void)
{
    if (!loop)
        expect(weir_main_open(&loop) == 0);
    return loop;
}

static void submit(model *p, slot *s)
{
    unsigned         how = byte();
    bool             was_busy = s->busy != 0;
    weir_run_options o = {.size = sizeof o, .priority = (weir_priority)(how % WEIR_LEVELS)};
    o.deliver_to = how & 16 ? main_here() : NULL;
    o.start_within_ns = (how & 96) == 96 ? 1 + (int64_t)byte() * 1000 : 0;
    if (was_busy) {
        int rc = weir_run_with(p->pool, &s->task, &o); /* it may become idle meanwhile */
        if (rc == 0)
            atomic_fetch_add(&s->busy, 1);
        expect(rc == 0 || rc == WEIR_EBUSY || rc == WEIR_ECLOSED || rc == WEIR_EFULL);
        expect(rc != 0 || s->busy <= 1);
        return;
    }
    s->kind = (enum kind)(byte() % KINDS), s->parks = byte() % 3;
    if (s->kind == ASKS && (!o.deliver_to || p->refuses))
        s->kind = RETURNS;
    s->task = (weir_task){.run = run, .done = done};
    s->busy = 1;
    int rc = weir_run_with(p->pool, &s->task, &o);
    expect(rc == 0 || (rc == WEIR_ECLOSED && p->closed) || rc == WEIR_EFULL);
    if (rc != 0)
        s->busy = 0;
}

/* ---- pools --------------------------------------------------------------------- */

static void *serves(void *arg)
{
    weir_worker *w;
    weir_task   *t;
    if (weir_worker_enter(arg, &w) != 0)
        return NULL;
    while (weir_worker_next(w, true, &t) == 0)
        if (weir_worker_settle(w, t, t->run(t, NULL)) != 0)
            break;
    weir_worker_leave(w, false, 0);
    return NULL;
}

static void lends(weir_pool *pool, void *arg)
{
    (void)arg;
    if (n_lent == LENT || pthread_create(&lent[n_lent], NULL, serves, pool) != 0)
        weir_worker_refuse(pool, WEIR_EAGAIN);
    else
        n_lent++;
}

static void open_pool(model *p)
{
    static const weir_full_policy policies[] = {WEIR_REFUSE, WEIR_DROP_OLDEST, WEIR_CALLER_RUNS};
    unsigned                      how = byte();
    weir_pool_options             o = {.size = sizeof o, .threads = 1 + how % 2, .idle_ns = 1000};
    o.threads_max = o.threads + (how >> 1) % 2;
    o.queue_limit = how & 4 ? 3 : 0, o.when_full = policies[byte() % 3];
    o.lazy = how & 8, o.borrowed = how & 16, o.measure = how & 32;
    if (o.borrowed)
        o.lend = lends;
    *p = (model){.refuses = o.when_full == WEIR_CALLER_RUNS};
    expect(weir_pool_open_async(&p->pool, &o, main_here(), NULL) == 0);
    for (unsigned i = 0; o.borrowed && !o.lazy && i < o.threads; i++)
        lends(p->pool, NULL); /* what the host owes it */
}

static void close_pool(model *p, weir_close_mode mode)
{
    int rc = weir_close(p->pool, mode);
    p->closed = true;
    expect(rc == 0);
    weir_pool_stats s = {.size = sizeof s};
    expect(weir_pool_get_stats(p->pool, &s) == 0);
    expect(s.queued + s.running + s.parked + s.threads == 0);
    expect(s.submitted == s.ok + s.failed + s.cancelled + s.expired + s.closed + s.dropped);
    expect(weir_close(p->pool, WEIR_DRAIN) == 0);
}

static void told(weir_notice *notice, int outcome)
{
    (void)notice;
    expect(outcome == 0 || outcome == WEIR_ECLOSED);
    notices_due--;
}

static weir_notice *notice(void)
{
    weir_notice *n = &notices[n_notices++];
    *n = (weir_notice){.fn = told};
    notices_due++;
    return n;
}

static void close_soon(model *p)
{
    if (n_notices < NOTICES)
        expect(weir_close_async(p->pool, byte() % 2 ? WEIR_CLOSE : WEIR_DRAIN, main_here(),
                                notice()) == 0);
    p->closed = true;
}

static void ask_for_space(model *p)
{
    if (n_notices < NOTICES)
        expect(weir_pool_on_space(p->pool, notice(), main_here()) == 0);
}

/* ---- the main ------------------------------------------------------------------- */

static void close_main(bool detach)
{
    if (!loop)
        return;
    int rc = weir_main_close(loop, detach ? WEIR_DETACH : 0);
    expect(rc == 0 || (rc == WEIR_EBUSY && !detach));
    if (rc == 0)
        loop = NULL;
}

/* ---- forks ---------------------------------------------------------------------- */

static void give_all_back(void)
{
    for (int i = 0; i < POOLS; i++)
        if (pools[i].pool) {
            expect(weir_close(pools[i].pool, WEIR_CLOSE) == 0);
            weir_pool_release(pools[i].pool);
        }
    if (!loop)
        return;
    weir_main_dispatch(loop, 0);
    expect(weir_main_close(loop, WEIR_DETACH) == 0);
}

static void reap(pid_t child)
{
    int status = 0;
    while (waitpid(child, &status, 0) < 0) /* the fuzzer has a timer */
        expect(errno == EINTR);
    expect(status == 0);
}

static void fork_here(int depth)
{
    pid_t child = fork();
    expect(child >= 0);
    if (child > 0) {
        reap(child);
        return;
    }
    alarm(60);
    if (depth > 0)
        fork_here(depth - 1);
    give_all_back();
    _exit(0);
}

/* ---- one sequence ----------------------------------------------------------------- */

static void step(void)
{
    model *p = &pools[byte() % POOLS];
    slot  *s = &slots[byte() % SLOTS];
    if (!p->pool)
        open_pool(p);
    switch (byte() % 24) {
    case 0: weir_cancel(&s->task); break;
    case 1:
    case 2: weir_task_unpark(&s->task); break;
    case 3: weir_pool_pause(p->pool); break;
    case 4:
    case 5: weir_pool_resume(p->pool); break;
    case 6: weir_pool_purge(p->pool); break;
    case 7: close_pool(p, byte() % 2 ? WEIR_CLOSE : WEIR_DRAIN); break;
    case 8: close_soon(p); break;
    case 9: weir_pool_resize(p->pool, byte() % 3, 1 + byte() % 3); break;
    case 10:
    case 11: weir_main_dispatch(main_here(), (int)(byte() % 4)); break;
    case 12: weir_main_wait(main_here(), 100000); break;
    case 13: close_main(byte() % 2); break;
    case 14: ask_for_space(p); break;
    case 15:
        if (n_forks++ < FORKS)
            fork_here((int)(byte() % 2));
        break;
    default: submit(p, s);
    }
}

static void finish(void)
{
    for (int i = 0; i < POOLS; i++)
        if (pools[i].pool)
            close_pool(&pools[i], WEIR_CLOSE);
    while (loop && weir_main_pending(loop))
        weir_main_wait(loop, -1);
    close_main(false);
    expect(!loop && notices_due == 0);
    for (int i = 0; i < n_lent; i++)
        pthread_join(lent[i], NULL);
    for (int i = 0; i < SLOTS; i++)
        expect(slots[i].busy == 0);
    for (int i = 0; i < POOLS; i++)
        weir_pool_release(pools[i].pool);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    at = data, end = data + (size < 400 ? size : 400);
    n_lent = notices_due = n_notices = n_forks = 0;
    for (int i = 0; i < POOLS; i++)
        pools[i] = (model){.pool = NULL};
    for (int i = 0; i < SLOTS; i++)
        slots[i] = (slot){.task = {.run = run, .done = done}};
    while (at < end)
        step();
    finish();
    return 0;
}
