/* SPDX-License-Identifier: ISC
 *
 * task.c: claiming, telling, and the end of abandoned tasks.
 *
 * An abandoned task has two users left: its lost thread, and the thread that its end is
 * delivered to. Each raises its flag when it is through (LET_GO, TOLD). The second one calls
 * release. The task holds its main until then.
 */
#include "mailbox/task.h"

#include "base/at_fork.h"
#include "mailbox/pending.h"

static _Thread_local weir_task *current;

void       wi_task_set_current(weir_task *t) { current = t; }
weir_task *weir_task_current(void) { return current; }
weir_main *wi_task_main_current(void) { return current ? current->weir.main : NULL; }

static bool swap_state(weir_task *t, unsigned from, unsigned to)
{
    return __atomic_compare_exchange_n(&t->weir.state, &from, to, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_SEQ_CST);
}

bool wi_task_claim(weir_task *t, unsigned *was)
{
    if (swap_state(t, *was = WEIR_TASK_IDLE, WI_TASK_CLAIMED))
        return true;
    *was = WEIR_TASK_SETTLED;
    return !t->done && !(wi_task_flags(t) & WI_ABANDONED) &&
           swap_state(t, WEIR_TASK_SETTLED, WI_TASK_CLAIMED);
}

/* ---- telling ------------------------------------------------------------ */

static void begin_done(weir_link *e, weir_delivery *d)
{
    weir_task *t = wi_task_of(e);
    bool       abandoned = wi_task_flags(t) & WI_ABANDONED;
    d->task = t;
    d->outcome = t->weir.outcome;
    d->weir.of = abandoned ? t : NULL;
    if (!abandoned)
        wi_task_move(t, WEIR_TASK_IDLE); /* so *t may be gone from now on */
}

static void run_done(weir_delivery *d) { d->task->done(d->task); }

static void end_done(weir_delivery *d)
{
    weir_task *abandoned = d->weir.of;
    if (abandoned && (wi_task_flag(abandoned, WI_TOLD) & WI_LET_GO))
        wi_task_let_go(abandoned);
}

static const struct weir_kind a_task = {begin_done, run_done, end_done, WI_OTHERS};

bool wi_task_aim(weir_task *t, weir_main *m)
{
    t->weir.link.kind = &a_task;
    t->weir.main = m;
    t->weir.forks = wi_forks;
    if (!m)
        return true;
    if (t->done)
        return wi_main_expect(m);
    if (atomic_load(&m->closed))
        return false;
    wi_main_hold(m);
    return true;
}

void wi_task_unaim(weir_task *t)
{
    weir_main *m = t->weir.main;
    if (t->weir.forks != wi_forks)
        return; /* a fork inside weir_run has counted anew */
    if (m && t->done)
        wi_main_came(m);
    else if (m)
        wi_main_release(m);
}

void wi_task_tell(weir_task *t)
{
    weir_main    *m = t->weir.main;
    weir_delivery d;
    begin_done(&t->weir.link, &d);
    run_done(&d);
    end_done(&d);
    if (m)
        wi_main_came(m);
}

void wi_task_let_go(weir_task *t)
{
    if (!(wi_task_flag(t, WI_LET_GO) & WI_TOLD))
        return;
    weir_main *m = t->weir.main;
    unsigned   forks = t->weir.forks;
    wi_task_unflag(t, ~0u);
    if (t->done)
        wi_task_move(t, WEIR_TASK_IDLE);
    t->release(t);
    if (m && forks == wi_forks) /* a child of fork has forgotten the hold */
        wi_main_release(m);
}

/* ---- what anyone may ask ------------------------------------------------ */

bool weir_cancel_requested(const weir_task *t) { return wi_task_flags(t) & WI_CANCEL; }
bool weir_task_orphaned(const weir_task *t) { return wi_task_flags(t) & WI_ORPHANED; }
int  weir_task_outcome(const weir_task *t) { return t->weir.outcome; }

weir_task_state weir_task_get_state(const weir_task *t)
{
    unsigned state = wi_task_state(t);
    if (state == WI_TASK_OFFERED)
        return WEIR_TASK_QUEUED;
    return state == WI_TASK_CLAIMED ? WEIR_TASK_IDLE : (weir_task_state)state;
}
