/* SPDX-License-Identifier: ISC
 *
 * ml_runtime.c: calls that release the runtime, and OCaml that runs inside them.
 */
#define CAML_NAME_SPACE
#include <caml/callback.h>
#include <caml/threads.h>

#include "ml.h"

_Thread_local bool wml_runs_ocaml;

static _Thread_local wml_released now;

wml_released wml_release_runtime(weir_main *dispatched)
{
    wml_released outer = now;
    wml_runs_ocaml = true;
    caml_release_runtime_system();
    now = (wml_released){true, dispatched};
    return outer;
}

void wml_acquire_runtime(wml_released outer)
{
    now = outer;
    caml_acquire_runtime_system();
}

bool wml_must_run_now(const slot *s) { return now.released && s->main != now.dispatched; }

value wml_run_now(const value **f, const char *name, const slot *s)
{
    wml_released outer = now;
    now = (wml_released){false, NULL};
    caml_acquire_runtime_system();
    if (!*f)
        *f = caml_named_value(name);
    value result = caml_callback_exn(**f, Val_long(s->index));
    caml_release_runtime_system(); /* the result is an integer */
    now = outer;
    return result;
}
