/* SPDX-License-Identifier: ISC
 *
 * ml_lost.c: Thread.exit on a worker, before OCaml 5.
 *
 * Thread.exit ends the thread there, and no stub or OCaml function returns. The
 * destructor of a thread-specific key registers the thread with the runtime once more,
 * so that OCaml can settle the task, run at_exit and leave the pool. The key is made
 * after the key of Thread, whose destructor runs first. From 5.0 on Thread.exit is an
 * exception.
 */
#define CAML_NAME_SPACE
#include <caml/callback.h>
#include <caml/threads.h>
#include <caml/version.h>

#if OCAML_VERSION < 50000
#include <pthread.h>

#include "ml.h"

static pthread_key_t  key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int            key_rc;

static void thread_lost(void *number)
{
    wml_tick_gone();
    if (!caml_c_thread_register())
        return;
    caml_acquire_runtime_system();
    caml_callback_exn(*caml_named_value("weir.lost"), (value)number);
    caml_release_runtime_system();
    caml_c_thread_unregister();
}

static void make_key(void) { key_rc = pthread_key_create(&key, thread_lost); }

/* number -> unit: "weir.lost" is called with it if this thread ends. 0: nothing is called */
value weir_ml_when_lost(value number)
{
    pthread_once(&once, make_key);
    if (key_rc == 0)
        pthread_setspecific(key, Long_val(number) ? (void *)number : NULL);
    return Val_unit;
}
#else
value weir_ml_when_lost(value number)
{
    (void)number;
    return Val_unit;
}
#endif
