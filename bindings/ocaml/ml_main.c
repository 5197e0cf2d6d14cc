/* SPDX-License-Identifier: ISC
 *
 * ml_main.c: stubs for mains and run_in_main.
 *
 * OCaml takes what comes to a main one by one, so the core calls nothing back in a
 * dispatch. A run_in_main call that a blocking call on the main's own thread serves must
 * run at once, under the core's frame, because the core fails the call if it has not ended
 * when the callback returns.
 */
#define CAML_NAME_SPACE
#include <caml/alloc.h>
#include <caml/memory.h>
#include <caml/threads.h>
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "ml.h"

/* unit -> a main, or the negative code */
value weir_ml_main_open(value unit)
{
    (void)unit;
    weir_main *m;
    wml_runs_ocaml = true;
    int rc = weir_main_open(&m);
    wml_main_here(rc == 0);
    return rc == 0 ? wml_of_pointer(m) : Val_long(rc);
}

value weir_ml_main_fd(value m) { return Val_int(weir_main_fd(Main_val(m))); }
value weir_ml_main_pending(value m) { return Val_long((intnat)weir_main_pending(Main_val(m))); }

/* main -> unit: its descriptor is readable if something waits, also while a delivery lasts */
value weir_ml_main_rearm(value m) { return weir_main_quiet(Main_val(m), false), Val_unit; }

/* main, detach -> code. Releases the runtime, because a lend that comes while the main
 * closes is answered inside this call. */
value weir_ml_main_close(value m, value detach)
{
    wml_release_runtime();
    int rc = weir_main_close(Main_val(m), Bool_val(detach) ? WEIR_DETACH : 0);
    caml_acquire_runtime_system();
    wml_main_here(rc == 0 ? -1 : 0);
    return Val_int(rc);
}

/* main, notice's id -> code: the notice comes back in a dispatch */
value weir_ml_main_post(value m, value id)
{
    slot *s = wml_slot_own(Long_val(id));
    s->u.notice.fn = wml_notice_fn;
    int rc = weir_notice_expect(&s->u.notice, Main_val(m));
    if (rc == 0)
        weir_notice_post(&s->u.notice, 0);
    return Val_int(rc);
}

/* ---- deliveries -------------------------------------------------------------- */

/* unit -> Raw.delivery, of no round and without an index */
value weir_ml_delivery(value unit)
{
    CAMLparam1(unit);
    CAMLlocal2(delivery, bytes);
    weir_delivery d = {.size = sizeof d};
    bytes = caml_alloc_string(sizeof d);
    memcpy(Bytes_val(bytes), &d, sizeof d);
    delivery = caml_alloc_tuple(4);
    Store_field(delivery, 0, Val_long(-1));
    Store_field(delivery, 3, bytes);
    CAMLreturn(delivery);
}

/* Returns false for a lend whose pool was collected meanwhile. Holds the slot of any other
 * lend. */
static bool fill(value delivery)
{
    weir_delivery *d = Delivery_val(delivery);
    slot          *s = d->task     ? (slot *)d->task
                       : d->notice ? (slot *)d->notice
                       : d->call   ? d->arg
                                   : wml_slot_hold((intnat)d->arg);
    value          code = Val_long(d->pool ? (int)d->lends : d->outcome);
    if (s)
        wml_deliver(delivery, s, d->call ? wml_of_pointer(d->call) : code, d->task || d->notice);
    else
        d->pool = NULL;
    return s != NULL;
}

/* The slot of a call stays with its caller. */
static void drop_slot(const weir_delivery *d)
{
    if (d->task)
        wml_slot_drop((slot *)d->task);
    if (d->notice)
        wml_slot_drop((slot *)d->notice);
    if (d->pool)
        wml_slot_drop(wml_slot_own((intnat)d->arg));
}

/* main delivery -> bool: is there another one? Then it is filled with the slot's index,
 * and the outcome, the begun call, or how many threads are asked for. Ends the one before. */
value weir_ml_main_next(value m, value delivery)
{
    do {
        drop_slot(Delivery_val(delivery));
        if (weir_main_next(Main_val(m), Delivery_val(delivery)) != 0)
            return Val_false;
    } while (!fill(delivery));
    return Val_true;
}

/* main, ns, delivery of no round -> the same; waits until there is one */
value weir_ml_main_wait_next(value m, value timeout, value delivery)
{
    CAMLparam1(delivery); /* it moves while others run */
    weir_delivery d = {.size = sizeof d};
    wml_release_runtime();
    int rc = weir_main_wait_next(Main_val(m), Long_val(timeout), &d);
    caml_acquire_runtime_system();
    *Delivery_val(delivery) = d;
    if (rc != 0)
        CAMLreturn(Val_false);
    CAMLreturn(fill(delivery) ? Val_true : weir_ml_main_next(m, delivery));
}

/* delivery -> unit: ends the last one and the round, if they have not ended */
value weir_ml_delivery_end(value delivery)
{
    drop_slot(Delivery_val(delivery));
    weir_delivery_end(Delivery_val(delivery));
    return Val_unit;
}

/* file_descr array -> unit: waits until one is readable. Raises Out_of_memory. */
value weir_ml_poll(value array)
{
    mlsize_t       n = Wosize_val(array);
    struct pollfd *fds = caml_stat_alloc(n * sizeof *fds);
    for (mlsize_t i = 0; i < n; i++)
        fds[i] = (struct pollfd){.fd = Int_val(Field(array, i)), .events = POLLIN};
    caml_release_runtime_system();
    while (poll(fds, n, -1) < 0 && errno == EINTR) {
    }
    caml_acquire_runtime_system();
    caml_stat_free(fds);
    return Val_unit;
}

/* ---- run_in_main ------------------------------------------------------------ */

/* The core calls it only inside a blocking call on the main's own thread. */
static void serve_call(weir_call *call, void *s)
{
    static const value *deliver;
    wml_run_now(&deliver, "weir.deliver", s, wml_of_pointer(call));
}

/* main, id -> code. The caller owns the slot and its cell. */
value weir_ml_run_in_main(value m, value id)
{
    slot *s = wml_slot_own(Long_val(id));
    wml_release_runtime();
    int rc = weir_run_in_main(Main_val(m), serve_call, s, NULL);
    caml_acquire_runtime_system();
    return Val_int(rc);
}

/* unit -> the main of the task that this thread runs, or none */
value weir_ml_current_main(value unit)
{
    (void)unit;
    weir_task *task = weir_task_current();
    return wml_of_pointer(task ? ((slot *)task)->main : NULL);
}

value weir_ml_call_finish(value call)
{
    weir_call_finish(wml_pointer(call), 0, NULL);
    return Val_unit;
}
