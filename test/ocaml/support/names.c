/* SPDX-License-Identifier: ISC
 *
 * names.c: the numbers that weir.h and ml.h give to the names that OCaml repeats.
 */
#define CAML_NAME_SPACE
#include <caml/alloc.h>
#include <caml/memory.h>

#include "ml.h"

#define NAME(x)                                                                                    \
    {                                                                                              \
#x, x                                                                                      \
    }

static const struct {
    const char *name;
    intnat      number;
} names[] = {
    NAME(WEIR_EINVAL),       NAME(WEIR_ENOMEM),        NAME(WEIR_EAGAIN),
    NAME(WEIR_ECLOSED),      NAME(WEIR_EFULL),         NAME(WEIR_EBUSY),
    NAME(WEIR_ECANCELED),    NAME(WEIR_EEXPIRED),      NAME(WEIR_ETIMEDOUT),
    NAME(WEIR_EDEADLK),      NAME(WEIR_EINIT),         NAME(WEIR_EPERM),
    NAME(WEIR_EFORKED),      NAME(WEIR_TASK_IDLE),     NAME(WEIR_TASK_QUEUED),
    NAME(WEIR_TASK_RUNNING), NAME(WEIR_TASK_PARKED),   NAME(WEIR_TASK_SETTLED),
    NAME(WEIR_NORMAL),       NAME(WEIR_HIGH),          NAME(WEIR_LOW),
    NAME(WEIR_REFUSE),       NAME(WEIR_BLOCK),         NAME(WEIR_CALLER_RUNS),
    NAME(WEIR_DROP_OLDEST),  NAME(WEIR_QUEUE_TIME),    NAME(WEIR_RUN_TIME),
    NAME(WEIR_TRACE_QUEUED), NAME(WEIR_TRACE_STARTED), NAME(WEIR_TRACE_SETTLED),
    NAME(WEIR_TRACE_THREAD), NAME(WEIR_TRACE_GREW),    NAME(WEIR_TRACE_CLOSED),
};

/* unit -> (string * int) array */
value test_names(value unit)
{
    CAMLparam1(unit);
    CAMLlocal2(array, pair);
    size_t n = sizeof names / sizeof *names;
    array = caml_alloc_tuple(n);
    for (size_t i = 0; i < n; i++) {
        pair = caml_alloc_tuple(2);
        Store_field(pair, 0, caml_copy_string(names[i].name));
        Store_field(pair, 1, Val_long(names[i].number));
        Store_field(array, i, pair);
    }
    CAMLreturn(array);
}
