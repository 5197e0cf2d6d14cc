/* SPDX-License-Identifier: ISC
 *
 * ml_main.c: stubs for mains and run_in_main.
 *
 * A begun call is told like any delivery, and its function runs when dispatch
 * has returned. Only a call that is served from inside a blocking call (a close
 * on the main's own thread) must run at once, under the core's frame: when that
 * function returns unfinished, the core fails the call. A lend that is served there
 * must, too: the blocking call may wait for that very thread.
 */
#define CAML_NAME_SPACE
#include <caml/memory.h>
#include <caml/threads.h>
#include <errno.h>
#include <poll.h>

#include "ml.h"

/* unit -> a main, or the negative code */
value weir_ml_main_open(value unit)
{
    (void)unit;
    weir_main *m;
    wml_runs_ocaml = true;
    int rc = weir_main_open(&m);
    return rc == 0 ? wml_of_pointer(m) : Val_long(rc);
}

value weir_ml_main_fd(value m) { return Val_int(weir_main_fd(Main_val(m))); }

value weir_ml_main_dispatch(value m, value max)
{
    return Val_int(weir_main_dispatch(Main_val(m), Int_val(max)));
}

value weir_ml_main_wait(value m, value timeout)
{
    weir_main   *main = Main_val(m);
    int64_t      ns = Long_val(timeout);
    wml_released outer = wml_release_runtime(main);
    int          n = weir_main_wait(main, ns);
    wml_acquire_runtime(outer);
    return Val_int(n);
}

value weir_ml_main_pending(value m) { return Val_long((intnat)weir_main_pending(Main_val(m))); }

value weir_ml_main_close(value m, value detach)
{
    return Val_int(weir_main_close(Main_val(m), Bool_val(detach) ? WEIR_DETACH : 0));
}

/* main, notice's id -> code: makes the descriptor readable; the notice comes back in a
 * dispatch */
value weir_ml_main_rouse(value m, value id)
{
    slot *s = wml_slot_own(Long_val(id));
    s->kind = SLOT_NOTICE;
    s->u.notice.fn = wml_notice_fn;
    int rc = weir_notice_expect(&s->u.notice, Main_val(m));
    if (rc == 0)
        weir_notice_post(&s->u.notice, 0);
    return Val_int(rc);
}

/* file_descr array -> unit: waits until one is readable, or returns at once where a
 * dispatch on this thread would find something to take. Raises Out_of_memory. */
value weir_ml_poll(value array)
{
    if (wml_told())
        return Val_unit;
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

/* The slot is held until the OCaml side has taken it: its caller may be gone by
 * then, when the main was closed. */
void wml_call_fn(weir_call *call, void *arg)
{
    static const value *serve;
    slot               *s = wml_slot_hold(((slot *)arg)->id);
    s->call = call;
    if (wml_must_run_now(s))
        wml_run_now(&serve, "weir.serve", s);
    else
        wml_tell(s, 0);
}

/* main id -> code. The caller owns the slot and its cell. */
value weir_ml_run_in_main(value m, value id)
{
    slot *s = wml_slot_own(Long_val(id));
    s->kind = SLOT_CALL;
    s->main = Main_val(m);
    wml_released outer = wml_release_runtime(NULL);
    int          rc = weir_run_in_main(s->main, wml_call_fn, s, NULL);
    wml_acquire_runtime(outer);
    return Val_int(rc);
}

/* unit -> the main of the task that this thread runs, or none */
value weir_ml_current_main(value unit)
{
    (void)unit;
    weir_task *task = weir_task_current();
    return wml_of_pointer(task ? ((slot *)task)->main : NULL);
}

/* index -> the begun call */
value weir_ml_slot_call(value index)
{
    return wml_of_pointer(wml_slot_of_index((unsigned)Long_val(index))->call);
}

value weir_ml_call_finish(value call)
{
    weir_call_finish(wml_pointer(call), 0, NULL);
    return Val_unit;
}
