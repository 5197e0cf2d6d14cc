/* SPDX-License-Identifier: ISC
 *
 * ml_runtime.c: calls that release the runtime, and OCaml that runs inside them.
 */
#define CAML_NAME_SPACE
#include <caml/callback.h>
#include <caml/threads.h>

#include "ml.h"

_Thread_local bool wml_runs_ocaml;

void wml_release_runtime(void)
{
    wml_runs_ocaml = true;
    caml_release_runtime_system();
}

value wml_run_now(const value **f, const char *name, const slot *s, value arg)
{
    caml_acquire_runtime_system();
    if (!*f)
        *f = caml_named_value(name);
    value result = caml_callback2_exn(**f, Val_long(s->index), arg);
    caml_release_runtime_system(); /* the result is an integer */
    return result;
}
