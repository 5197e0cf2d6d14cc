/* SPDX-License-Identifier: ISC
 *
 * ml.h: what the OCaml stubs share: slots, and what the core tells by a callback.
 *
 * A slot is a task, a notice, a call or a pool's lend that OCaml handed to the core. It
 * lives in a chunk that never moves; its OCaml half is a cell with the same number, so
 * only integers cross. An id is the number and, above it, the generation, so that a
 * stale id names nothing.
 *
 * What comes to a main OCaml takes one by one (Main.dispatch), with no callback. A
 * callback runs under the core's frames, where OCaml must not raise: see ml_told.c and
 * wml_run_now.
 */
#pragma once

#include <caml/custom.h>
#include <caml/mlvalues.h>

#include "weir.h"

#ifndef ARCH_SIXTYFOUR
#error "weir: ids and nanoseconds need 64-bit OCaml integers"
#endif

typedef struct slot {
    union {
        weir_task   task;
        weir_notice notice;
    } u; /* first: the core hands its address back. Zero-filled while the slot is free */
    struct slot *next; /* among the told, or the free */
    /* Guarded by the slots' lock: a circle of a pool's lend and the pool's tasks, newest first.
     * Any other slot is alone in its circle. */
    struct slot *older, *newer;
    uint64_t     word; /* generation << 16 | references; atomic */
    intnat       id;
    weir_main   *main;  /* where a task's done goes */
    const char  *label; /* of the run to come */
    unsigned     index;
    int          code;
} slot;

#pragma GCC visibility push(hidden)

slot *wml_slot_of_index(unsigned index);
/* Holds the slot that id names; NULL: it was dropped. */
slot *wml_slot_hold(intnat id);
/* The slot that id names, for its owner. */
slot *wml_slot_own(intnat id);
void  wml_slot_drop(slot *s);

/* Callbacks for the core. */
int  wml_task_run(weir_task *task, void *state);
void wml_task_done(weir_task *task);
void wml_notice_fn(weir_notice *notice, int outcome);

/* Set while a stub of this thread settles a task. */
extern _Thread_local bool wml_settling;
/* This thread runs OCaml, and takes what the core tells it. Every stub sets it after which
 * the core can tell this thread something. */
extern _Thread_local bool wml_runs_ocaml;

/* How many mains this thread has changes by n. Its tasks let such a thread in early. */
void wml_main_here(int n);
/* Thread.exit ends this thread, and has let the runtime go without the hook. */
void wml_tick_gone(void);

/* Around a call of the core that waits. Partner: caml_acquire_runtime_system. */
void wml_release_runtime(void);
/* For a callback inside such a call, where the core waits until this has returned: calls
 * the OCaml function that is registered as `name`, and cached in *f, with the slot's index
 * and the integer arg. That function catches what is raised in it. */
value wml_run_now(const value **f, const char *name, const slot *s, value arg);

/* Fills OCaml's Raw.delivery, but for its last field. */
static inline void wml_deliver(value delivery, const slot *s, value code, bool pends)
{
    Field(delivery, 0) = Val_long(s->index);
    Field(delivery, 1) = code;
    Field(delivery, 2) = Val_bool(pends);
}
#define Delivery_val(v) ((weir_delivery *)Bytes_val(Field(v, 3)))

/* A C pointer as an OCaml integer. Its lowest bit is 0. */
static inline value wml_of_pointer(const void *p) { return (value)p | 1; }
static inline void *wml_pointer(value v) { return (void *)(v & ~(value)1); }
/* NULL for None's stand-in, 0. */
#define Main_val(v) ((weir_main *)wml_pointer(v))

/* What a pool's custom block holds. */
typedef struct {
    weir_pool *pool; /* NULL after a failed open */
    slot      *lend; /* NULL before the open */
} wml_handle;

#define Handle_val(v) ((wml_handle *)Data_custom_val(v))
#define Pool_val(v) (Handle_val(v)->pool)

#pragma GCC visibility pop
