/* SPDX-License-Identifier: ISC
 *
 * ml_told.c: what the core tells by a callback.
 *
 * These are the ends of tasks without a main or whose main has closed, and what a main
 * still holds when it closes. The callback appends the slot to a list of its thread. When
 * the stub that called the core has returned, OCaml takes it from there (Promise.drain).
 * What the core tells on a thread of its own, which cannot run OCaml, goes to `strays`;
 * the next OCaml thread that takes something delivers that.
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

static void note_told(slot *s, int code)
{
    s->code = code;
    if (wml_runs_ocaml)
        append(s);
    else
        stray(s);
}

/* ---- for OCaml ----------------------------------------------------------- */

static slot *take_told(void)
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
 * outcome. Drops the slot of the one before. */
value weir_ml_take(value delivery)
{
    if (taken)
        wml_slot_drop(taken);
    taken = take_told();
    if (taken)
        wml_deliver(delivery, taken, Val_long(taken->code), false);
    return Val_bool(taken != NULL);
}

/* unit -> bool: is there something to take? False inside a delivery of this thread, whose
 * taker goes on with the list afterwards. */
value weir_ml_untaken(value unit)
{
    (void)unit;
    return Val_bool(!taken && (first || __atomic_load_n(&strays, __ATOMIC_SEQ_CST)));
}

/* notice's id -> unit: appends it to this thread's list, as if the core had told it */
value weir_ml_tell_here(value id)
{
    wml_runs_ocaml = true;
    note_told(wml_slot_own(Long_val(id)), 0);
    return Val_unit;
}

/* ---- the core's callbacks -------------------------------------------------- */

/* A borrowed worker's host runs its tasks, so the core calls this only for the caller of a
 * full queue, inside weir_ml_run_blocking. */
int wml_task_run(weir_task *task, void *state)
{
    static const value *run_here;
    (void)state;
    return Int_val(wml_run_now(&run_here, "weir.run_here", (slot *)task, Val_unit));
}

/* Nothing is told of a task without a main that was cancelled while it was queued, because
 * the canceller tells its promise, and so this thread may sleep on in the core. */
void wml_task_done(weir_task *task)
{
    slot *s = (slot *)task;
    int   code = weir_task_outcome(task);
    if (!s->main && code == WEIR_ECANCELED && !wml_settling)
        wml_slot_drop(s);
    else
        note_told(s, code);
}

void wml_notice_fn(weir_notice *notice, int outcome) { note_told((slot *)notice, outcome); }
