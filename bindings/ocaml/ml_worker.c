/* SPDX-License-Identifier: ISC
 *
 * ml_worker.c: stubs for a borrowed worker, which is the calling thread.
 */
#define _GNU_SOURCE
#define CAML_NAME_SPACE
#include <caml/alloc.h>
#include <caml/memory.h>
#include <caml/threads.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ml.h"

/* The process in which this thread serves a pool, or 0. In the child of a fork inside a task
 * the thread is an ordinary one. */
static _Thread_local pid_t served_in;

/* ---- around the thread's creation ------------------------------------------ */

value weir_ml_sigset_size(value unit)
{
    (void)unit;
    return Val_long(sizeof(sigset_t));
}

value weir_ml_block_signals(value v, value mask)
{
    sigset_t old; /* bytes need not be aligned */
    weir_block_signals(Pool_val(v), &old);
    memcpy(Bytes_val(mask), &old, sizeof old);
    return Val_unit;
}

value weir_ml_restore_signals(value mask)
{
    sigset_t old;
    memcpy(&old, Bytes_val(mask), sizeof old);
    weir_restore_signals(&old);
    return Val_unit;
}

/* The kernel keeps 15 bytes, so the pool's name is cut and the number is not. */
static void name_thread(const char *pool, long number)
{
#if defined(__linux__)
    char   end[12], name[16];
    size_t n = (size_t)snprintf(end, sizeof end, "/%ld", number);
    snprintf(name, sizeof name - n, "%s", pool);
    pthread_setname_np(pthread_self(), strcat(name, end));
#else
    (void)pool, (void)number;
#endif
}

/* pool's name, number -> unit: names the calling thread, which is the pool's from now on */
value weir_ml_thread_begin(value name, value number)
{
    name_thread(String_val(name), Long_val(number));
    wml_runs_ocaml = true;
    served_in = getpid();
    return Val_unit;
}

value weir_ml_thread_end(value unit)
{
    served_in = 0;
    return unit;
}

value weir_ml_on_pool_thread(value unit)
{
    (void)unit;
    return Val_bool(served_in != 0 && served_in == getpid());
}

/* ---- serving ----------------------------------------------------------------- */

/* pool -> code */
value weir_ml_worker_enter(value v)
{
    weir_worker *w;
    return Val_int(weir_worker_enter(Pool_val(v), &w));
}

value weir_ml_worker_refuse(value v, value code)
{
    weir_worker_refuse(Pool_val(v), Int_val(code));
    return Val_unit;
}

static value number(int rc, weir_task *task)
{
    return Val_long(rc == 0 ? (intnat)((slot *)task)->index : rc);
}

/* unit -> index of the next task's slot, or WEIR_ECLOSED */
value weir_ml_worker_wait(value unit)
{
    (void)unit;
    weir_task *task = NULL;
    caml_release_runtime_system();
    int rc = weir_worker_next(weir_worker_current(), true, &task);
    caml_acquire_runtime_system();
    return number(rc, task);
}

/* The same without waiting and without releasing the runtime. WEIR_EAGAIN: there is none. */
value weir_ml_worker_next(value unit)
{
    (void)unit;
    weir_task *task = NULL;
    int        rc = weir_worker_next(weir_worker_current(), false, &task);
    return number(rc, task);
}

/* code -> 0 or WEIR_ECLOSED */
value weir_ml_worker_settle(value code)
{
    wml_settling = true;
    int rc = weir_worker_settle(weir_worker_current(), weir_task_current(), Int_val(code));
    wml_settling = false;
    return Val_int(rc);
}

value weir_ml_worker_leave(value lost, value code)
{
    wml_settling = true;
    weir_worker_leave(weir_worker_current(), Bool_val(lost), Int_val(code));
    wml_settling = false;
    return Val_unit;
}

/* pool -> bool: does the calling thread serve it? */
value weir_ml_serves(value v) { return Val_bool(weir_pool_current() == Pool_val(v)); }

value weir_ml_blocking_begin(value unit) { return weir_blocking_begin(), unit; }

value weir_ml_blocking_end(value unit) { return weir_blocking_end(), unit; }

value weir_ml_spawning_begin(value unit) { return weir_spawning_begin(), unit; }

value weir_ml_spawning_end(value unit) { return weir_spawning_end(), unit; }

value weir_ml_cancel_requested(value unit)
{
    (void)unit;
    weir_task *task = weir_task_current();
    return Val_bool(task && weir_cancel_requested(task));
}

/* unit -> the number of the worker that the calling thread is */
value weir_ml_thread_index(value unit)
{
    (void)unit;
    weir_worker *w = weir_worker_current();
    return Val_long(w ? (long)weir_worker_index(w) : -1);
}

/* unit -> the label of the task that runs here, or "" */
value weir_ml_label(value unit)
{
    (void)unit;
    weir_task  *task = weir_task_current();
    const char *label = task ? weir_task_label(task) : NULL;
    return caml_copy_string(label ? label : "");
}

/* unit -> id of the task that this thread runs, or -1 */
value weir_ml_current(value unit)
{
    (void)unit;
    weir_task *task = weir_task_current();
    return Val_long(task ? ((slot *)task)->id : -1);
}

value weir_ml_now(value unit)
{
    (void)unit;
    return Val_long(weir_now());
}
