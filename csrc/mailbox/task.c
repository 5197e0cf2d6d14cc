/* SPDX-License-Identifier: ISC
 *
 * task.c: claiming, telling, and the end of abandoned tasks.
 *
 * An abandoned task has two users left: its lost thread, and the thread that its end is
 * delivered to. Each raises its flag when it is through (LET_GO, TOLD). The second one calls
 * release. The task holds its main until then.
 */
#include "mailbox/task.h"

static _Thread_local wi_task_place *current;

wi_task_place *wi_task_current_in(wi_task_place *place)
{
    wi_task_place *was = current;
    current = place;
    return was;
}

weir_task *weir_task_current(void) { return current ? *current : NULL; }

weir_main *wi_task_main_current(void)
{
    weir_task *t = weir_task_current();
    return t ? t->weir.main : NULL;
}

bool wi_task_claim_settled(weir_task *t)
{
    return !t->done && !(wi_task_flags(t) & WI_ABANDONED) &&
           wi_task_swap_state(t, WEIR_TASK_SETTLED, WI_TASK_CLAIMED);
}

wi_name wi_task_name(const weir_task *t)
{
    const weir_task *here = weir_task_current();
    return (wi_name){wi_record_clock(), t->weir.label, t->weir.number,
                     here ? here->weir.number : 0};
}

/* ---- telling ------------------------------------------------------------ */

static void run_done(weir_delivery *d) { d->task->done(d->task); }

static void end_traced(weir_delivery *d)
{
    (void)d;
    wi_record_if(WEIR_TRACE_DONE, NULL, NULL, 0);
}

static void end_abandoned(weir_delivery *d)
{
    weir_task *t = d->weir.of;
    end_traced(d);
    if (wi_task_flag(t, WI_TOLD) & WI_LET_GO)
        wi_task_let_go(t);
}

static void record_delivery(const weir_task *t, int outcome)
{
    wi_name name = wi_task_name(t);
    wi_record(WEIR_TRACE_DELIVERED, NULL, &name, outcome);
}

static void begin_done(weir_link *e, weir_delivery *d)
{
    static const struct weir_kind an_abandoned = {NULL, run_done, end_abandoned, WI_OTHERS, NULL};
    static const struct weir_kind a_traced = {NULL, run_done, end_traced, WI_OTHERS, NULL};
    weir_task                    *t = wi_task_of(e);
    d->task = t;
    d->outcome = t->weir.outcome;
    if (wi_is_traced() & WI_RECORDED)
        record_delivery(t, d->outcome), d->weir.kind = &a_traced;
    if (wi_task_flags(t) & WI_ABANDONED)
        d->weir.kind = &an_abandoned, d->weir.of = t;
    else
        wi_task_move(t, WEIR_TASK_IDLE); /* so *t may be gone from now on */
}

/* Begin, run and end. */
static void tell_in_steps(weir_task *t, weir_delivery *d)
{
    d->weir.kind = &wi_a_task;
    begin_done(&t->weir.link, d);
    run_done(d);
    if (d->weir.kind->end)
        d->weir.kind->end(d);
}

/* The same, in the common case no more than the callback. */
static void deliver_done(weir_link *e, weir_delivery *d)
{
    weir_task *t = wi_task_of(e);
    if (wi_is_traced() & WI_RECORDED || wi_task_flags(t) & WI_ABANDONED) {
        tell_in_steps(t, d);
        return;
    }
    wi_task_move(t, WEIR_TASK_IDLE);
    t->done(t);
}

const struct weir_kind wi_a_task = {begin_done, run_done, NULL, WI_OTHERS, deliver_done};

bool wi_task_keep_main(weir_task *t)
{
    weir_main *m = t->weir.main;
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
    tell_in_steps(t, &d);
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

bool        weir_cancel_requested(const weir_task *t) { return t && wi_task_flags(t) & WI_CANCEL; }
bool        weir_task_orphaned(const weir_task *t) { return wi_task_flags(t) & WI_ORPHANED; }
int         weir_task_outcome(const weir_task *t) { return t->weir.outcome; }
const char *weir_task_label(const weir_task *t) { return t->weir.label; }

weir_task_state weir_task_get_state(const weir_task *t)
{
    unsigned state = wi_task_state(t);
    if (state == WI_TASK_OFFERED)
        return WEIR_TASK_QUEUED;
    return state == WI_TASK_CLAIMED ? WEIR_TASK_IDLE : (weir_task_state)state;
}
