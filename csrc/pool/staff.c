/* SPDX-License-Identifier: ISC
 *
 * staff.c: how many threads a pool has, who sleeps, who is woken. It decides; what is
 * decided is done by other rooms, after the unlock.
 *
 * A pool grows by one thread at a time: when a task is queued, nobody is idle,
 * nobody is on the way, and fewer serve than may. Whoever sees that asks for the
 * thread: the submitter, or the worker that took a task and sees more; the new
 * thread sees it again when it takes its first task. So a burst costs its
 * submitter at most one thread, and stuck workers starve nobody.
 *
 * A submit that need not see to that takes no lock: it offers its task to the
 * queue's inbox and then reads `must_lock`. Here `must_lock` is set first and the inbox
 * read then, so that of an offer and a worker that falls asleep one sees the
 * other. `must_lock` may be true too long, which costs a lock, but never false.
 *
 * Where many sleep and many tasks wait, one wake at a time would start them one after the
 * other. So an unlock may send two, and more may be on their way at once: of every four
 * sleepers that have four tasks waiting, one. Each that takes a task sends two, so that 64
 * tasks that block have their threads after six wake-ups in a row.
 *
 * Before it sleeps one worker lingers: it looks out for the next task a little longer
 * than a wake-up takes, where the pool may run on more than one CPU. It counts as
 * `searching` meanwhile, for it is on its way to look: nobody else is woken, and a
 * submit takes no lock. A thread that brings any
 * other work hails it (`hailed`), because the lingering worker watches only the inbox.
 *
 * A pool whose minimum is or was 0 (`hires`) may be without a thread. Then it is not
 * lost but has the right to hire, which is used like this:
 *
 *   at rest, nobody       a task is queued: who sees that hires, whatever was refused before
 *   hiring (expected or   the thread enters and looks; or it is refused, or its init
 *     wanted is 1)          fails, and if nobody else is there what is queued settles
 *                           with that code: at rest
 *   the last one retires  it idled, so `must_lock` is true since then, and stays so until
 *                           somebody is present: whatever was offered since sees that,
 *                           and what came before the thread has looked for
 *   a close               counts who is hired already; a drain hires on as long as tasks
 *                           are queued
 *
 * So `must_lock` is true while nobody is there, but where the pool is paused: its resume,
 * and the drain that ends the pause, look into the queue themselves.
 *
 * It shrinks at its workers' next look. Of the idle ones only as many as are too
 * many have a timeout, so that each wakes once, to retire, and nobody else does.
 */
#include "pool/staff.h"

enum { PAUSE_NS = 200 }; /* between two looks of a lingering worker, at least */
enum { SEARCHERS_ONE_OF = 4 };

unsigned wi_pool_present_locked(const weir_pool *p) { return p->serving - p->leaving; }

unsigned wi_pool_limit_locked(const weir_pool *p)
{
    unsigned spares = p->blocked < p->opts.max_blocked ? p->blocked : p->opts.max_blocked;
    return p->opts.threads_max + spares + p->swapping;
}

/* ---- growing ------------------------------------------------------------ */

/* With nobody there no refusal of before counts, for a task would wait for ever. */
static bool may_try_locked(weir_pool *p)
{
    bool somebody = wi_pool_present_locked(p) > 0;
    if (somebody && p->refused_until && weir_now() < p->refused_until)
        return false;
    p->refused_until = 0;
    return true;
}

bool wi_pool_can_ask(const weir_pool *p) { return !p->opts.borrowed || wi_pool_can_lend(p); }

void wi_pool_unwant_locked(weir_pool *p, unsigned n)
{
    p->wanted -= n;
    if (p->lends_due > p->wanted)
        p->lends_due = p->wanted;
}

static bool want_one_locked(weir_pool *p)
{
    return wi_pool_can_ask(p) && p->state >= WI_OPEN && p->state <= WI_DRAINING &&
           p->expected + p->wanted == 0 && wi_pool_present_locked(p) < wi_pool_limit_locked(p) &&
           may_try_locked(p);
}

/* A task in the queue would have somebody woken or started. While this is false
 * whoever makes it true again, or is on its way, looks into the queue itself. */
static bool submit_must_lock(const weir_pool *p)
{
    return !p->searching && !p->paused && !p->held &&
           (!wi_list_empty(&p->idle) || wi_pool_present_locked(p) < wi_pool_limit_locked(p));
}

bool wi_pool_set_must_lock_locked(weir_pool *p)
{
    bool must = submit_must_lock(p);
    if (must != atomic_load(&p->must_lock))
        atomic_store(&p->must_lock, must);
    return must;
}

static bool timer_is_late_locked(weir_pool *p)
{
    int64_t first = p->deadlines.root ? p->deadlines.root->weir.deadline : -1;
    bool    late = first >= 0 && (p->timer_until < 0 || first < p->timer_until);
    if (late)
        p->timer_until = first;
    return late;
}

/* So many may be on their way at once: one, and one more for every four that sleep and have
 * four tasks waiting. */
static bool may_search_locked(const weir_pool *p)
{
    size_t tasks = wi_queue_at_hand(&p->queue);
    size_t pairs = tasks < p->asleep ? tasks : p->asleep;
    return p->searching < 1 + pairs / SEARCHERS_ONE_OF;
}

static weir_worker *send_one_locked(weir_pool *p)
{
    weir_worker *w = may_search_locked(p) ? wi_pool_pop_idle_locked(p) : NULL;
    if (w)
        p->searching++, w->woken = true;
    return w;
}

/* Beside one that is on its way already. */
static bool may_send_more_locked(const weir_pool *p)
{
    return p->searching && p->asleep && !p->paused && !p->held && may_search_locked(p);
}

wi_need wi_pool_need_locked(weir_pool *p)
{
    wi_pool_hail_locked(p);
    wi_need need = {.more = p->timer && timer_is_late_locked(p) ? WI_TIMER : 0};
    bool    must = wi_pool_set_must_lock_locked(p);
    if ((!must && !may_send_more_locked(p)) || !wi_queue_ready(&p->queue))
        return need;
    if ((need.wake = send_one_locked(p))) {
        need.too = send_one_locked(p);
        wi_pool_set_must_lock_locked(p);
    } else if (want_one_locked(p)) {
        need.more |= WI_HIRE;
        p->stats.grown++;
        p->expected += !p->opts.borrowed;
        p->wanted += p->opts.borrowed, p->lends_due += p->opts.borrowed;
    }
    return need;
}

/* ---- idling ------------------------------------------------------------- */

static void not_idle_locked(weir_pool *p, weir_worker *w)
{
    wi_unlink(&w->of_idle);
    p->asleep--;
    p->timed -= w->timed;
    w->timed = false;
}

weir_worker *wi_pool_pop_idle_locked(weir_pool *p)
{
    weir_link *e = wi_list_first(&p->idle);
    if (!e)
        return NULL;
    weir_worker *w = wi_container(e, weir_worker, of_idle);
    not_idle_locked(p, w);
    p->stats.wakes++;
    return w;
}

/* Under the lock: this is rare, and the list must not change meanwhile. */
void wi_pool_wake_idle_locked(weir_pool *p)
{
    weir_worker *w;
    wi_pool_hail_locked(p);
    while ((w = wi_pool_pop_idle_locked(p)))
        wi_unpark(&w->parker);
}

static unsigned extra_locked(const weir_pool *p)
{
    unsigned present = wi_pool_present_locked(p);
    unsigned kept = p->opts.threads + p->swapping;
    return present > kept ? present - kept : 0;
}

static void leave_locked(weir_pool *p, weir_worker *w)
{
    w->leaving = true;
    p->leaving++;
}

bool wi_pool_must_leave_locked(weir_pool *p, weir_worker *w)
{
    if (!w->leaving && p->state < WI_CLOSING &&
        wi_pool_present_locked(p) > wi_pool_limit_locked(p)) {
        p->stats.retired++;
        leave_locked(p, w);
    }
    return w->leaving || p->state >= WI_CLOSING;
}

/* Nobody popped us: we retire if we are still too many. Else whoever popped us
 * has left a token, or is about to. */
static void timed_out_relocks(weir_pool *p, weir_worker *w)
{
    if (!wi_linked(&w->of_idle)) {
        wi_unlock(&p->lock);
        wi_park(&w->parker, -1);
        wi_lock(&p->lock);
        return;
    }
    not_idle_locked(p, w);
    if (extra_locked(p) && p->state < WI_CLOSING) {
        p->stats.retired++;
        leave_locked(p, w);
    }
}

void wi_pool_hail_locked(weir_pool *p)
{
    if (p->lingering)
        atomic_store(&p->hailed, true);
}

/* How long between two looks: each takes the inbox's cache line from who submits. */
static int64_t pause_locked(weir_pool *p)
{
    int64_t pause = wi_linger_pause(&p->looks, wi_queue_picks(&p->queue));
    return pause > PAUSE_NS ? pause : PAUSE_NS;
}

static bool has_come(weir_pool *p)
{
    return wi_queue_was_offered(&p->queue) || atomic_load(&p->hailed);
}

static void look_out(weir_pool *p, int64_t pause)
{
    int64_t now = weir_now(), until = now + WI_LINGER_NS;
    do {
        for (int64_t next = now + pause; now < next; now = weir_now())
            wi_relax();
    } while (!has_come(p) && now < until);
}

static bool must_linger_locked(weir_pool *p)
{
    if (!p->lingers || p->searching || p->paused || p->held)
        return false;
    return wi_linger_pays(&p->looks);
}

bool wi_pool_linger_relocks(weir_pool *p, weir_worker *w)
{
    if (!must_linger_locked(p))
        return false;
    int64_t pause = pause_locked(p);
    p->lingering = w->woken = true;
    p->searching++;
    atomic_store(&p->hailed, false);
    wi_pool_set_must_lock_locked(p);
    wi_unlock(&p->lock);
    look_out(p, pause);
    wi_lock(&p->lock);
    wi_linger_note(&p->looks, has_come(p));
    p->lingering = w->woken = false;
    p->searching--;
    return true;
}

void wi_pool_sleep_relocks(weir_pool *p, weir_worker *w)
{
    int64_t idle_ns = p->opts.idle_ns;
    w->timed = p->timed < extra_locked(p);
    p->timed += w->timed;
    bool timed = w->timed;
    wi_list_push(&p->idle, &w->of_idle);
    p->asleep++;
    if (wi_pool_set_must_lock_locked(p) && wi_queue_was_offered(&p->queue)) {
        not_idle_locked(p, w); /* offered before it could be seen that we sleep */
        return;
    }
    bool patient = wi_patience_pays(&w->patience);
    wi_unlock(&p->lock);
    wi_patience_set(patient);
    bool woken = wi_park(&w->parker, timed ? wi_deadline(idle_ns) : -1);
    wi_lock(&p->lock);
    if (!woken)
        timed_out_relocks(p, w);
    p->searching -= w->woken;
    w->woken = false;
}

/* ---- blocking ----------------------------------------------------------- */

void wi_pool_block_locked(weir_pool *p, weir_worker *w) { p->blocked += w->blocked++ == 0; }

void wi_pool_unblock_locked(weir_pool *p, weir_worker *w)
{
    p->blocked -= --w->blocked == 0;
    if (wi_pool_present_locked(p) > wi_pool_limit_locked(p)) {
        weir_worker *idle = wi_pool_pop_idle_locked(p); /* a spare, to leave */
        if (idle)
            wi_unpark(&idle->parker);
    }
}

bool wi_pool_waits_for_us_relocks(weir_pool *p)
{
    wi_thread *self = wi_thread_self();
    if (!self)
        return false;
    wi_unlock(&p->lock);
    unsigned held_up = wi_mains_workers_on_stack(self, p, p->serial);
    wi_mains_fail_returned(self, p, 0);
    wi_lock(&p->lock);
    return held_up && held_up >= wi_pool_limit_locked(p);
}
