/* SPDX-License-Identifier: ISC
 *
 * ml_told.c: what the core tells by a callback.
 *
 * That is the end of a task without a main or of one whose main has closed, and what a
 * main still holds when it closes. The callback appends the slot to a list of its thread,
 * from which OCaml takes it when the stub that called the core has returned
 * (Promise.drain). A thread of the core's own runs no OCaml: what is told there, the next
 * thread that takes anything takes.
 */
#include "ml.h"

_Thread_local bool wml_settling;

static _Thread_local slot *first, **last;
static _Thread_local slot *taken;  /* being delivered; the next take drops it */
static slot               *strays; /* atomic; newest first */

static void append(slot *s)
{
    s->next = NULL;
    if (!first)
        last = &first;
    *last = s;
    last = &s->next;
}

static void stray(slot *s)
{
    s->next = __atomic_load_n(&strays, __ATOMIC_SEQ_CST);
    while (!__atomic_compare_exchange_n(&strays, &s->next, s, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST)) {
    }
}

static void tell(slot *s, int code)
{
    s->code = code;
    if (wml_runs_ocaml)
        append(s);
    else
        stray(s);
}

/* ---- for OCaml ----------------------------------------------------------- */

static slot *take(void)
{
    slot *s = first ? NULL : __atomic_exchange_n(&strays, NULL, __ATOMIC_SEQ_CST);
    for (slot *next; s; s = next) {
        next = s->next;
        append(s);
    }
    s = first;
    if (s)
        first = s->next;
    return s;
}

/* delivery -> bool: is there another one? Then it is filled with the slot's index and the
 * outcome. Ends the one before. */
value weir_ml_take(value delivery)
{
    if (taken)
        wml_slot_drop(taken);
    taken = take();
    if (taken)
        wml_deliver(delivery, taken, Val_long(taken->code), false);
    return Val_bool(taken != NULL);
}

/* unit -> bool: is something to take that nobody on this thread's stack is about to? */
value weir_ml_untaken(value unit)
{
    (void)unit;
    return Val_bool(!taken && (first || __atomic_load_n(&strays, __ATOMIC_SEQ_CST)));
}

/* notice's id -> unit: tells it on this thread, as the core would */
value weir_ml_tell_here(value id)
{
    wml_runs_ocaml = true;
    tell(wml_slot_own(Long_val(id)), 0);
    return Val_unit;
}

/* ---- the core's callbacks -------------------------------------------------- */

/* The host of a borrowed worker runs its tasks itself. So this is a full queue's
 * caller, who runs it: inside weir_ml_run_blocking. */
int wml_task_run(weir_task *task, void *state)
{
    static const value *run_here;
    (void)state;
    return Int_val(wml_run_now(&run_here, "weir.run_here", (slot *)task, Val_unit));
}

/* A task without a main that was taken back while queued needs no more telling:
 * whoever cancelled it has done so, and this thread may sleep on in the core. */
void wml_task_done(weir_task *task)
{
    slot *s = (slot *)task;
    int   code = weir_task_outcome(task);
    if (!s->main && code == WEIR_ECANCELED && !wml_settling)
        wml_slot_drop(s);
    else
        tell(s, code);
}

void wml_notice_fn(weir_notice *notice, int outcome) { tell((slot *)notice, outcome); }
