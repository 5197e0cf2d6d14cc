/* SPDX-License-Identifier: ISC
 *
 * ml.h: what the OCaml stubs share: slots, and the list of what was told here.
 *
 * A slot is a task, a notice or a call that OCaml handed to the core. It lives in
 * a chunk that never moves; its OCaml half is a cell with the same number, so
 * only integers cross. An id is the number and, above it, the generation, so
 * that a stale id names nothing.
 *
 * The core's callbacks run no OCaml (but see wml_run_now): they append the slot to a
 * list of the thread that they run on, and that thread's OCaml takes it from there
 * when the stub that called the core has returned (Promise.drain).
 */
#ifndef WEIR_ML_H
#define WEIR_ML_H

#include <caml/custom.h>
#include <caml/mlvalues.h>

#include "weir.h"

#ifndef ARCH_SIXTYFOUR
#error "weir: ids and nanoseconds need 64-bit OCaml integers"
#endif

enum slot_kind { SLOT_TASK, SLOT_NOTICE, SLOT_CALL, SLOT_LEND };

typedef struct slot {
    union {
        weir_task   task;
        weir_notice notice;
    } u; /* first: the core hands its address back. Zero-filled while the slot is free */
    struct slot *next; /* among the told, or the free */
    /* Guarded by the slots' lock: a circle of a pool's SLOT_LEND and the pool's tasks, newest
     * first. Any other slot is alone in its circle. */
    struct slot   *older, *newer;
    weir_call     *call;
    uint64_t       word; /* generation << 16 | references; atomic */
    intnat         id;
    weir_main     *main; /* where a task's done goes, a call, or a lend */
    unsigned       index;
    int            code;
    enum slot_kind kind;
    bool           told; /* SLOT_LEND: stands on the list */
} slot;

#pragma GCC visibility push(hidden)

slot *wml_slot_of_index(unsigned index);
/* Holds the slot that id names; NULL: it was dropped. */
slot *wml_slot_hold(intnat id);
/* The slot that id names, for its owner. */
slot *wml_slot_own(intnat id);
void  wml_slot_drop(slot *s);
void  wml_tell(slot *s, int code);
/* Has this thread been told something that nobody has taken yet? */
bool wml_told(void);

/* Callbacks for the core. */
int  wml_task_run(weir_task *task, void *state);
void wml_task_done(weir_task *task);
void wml_notice_fn(weir_notice *notice, int outcome);
void wml_call_fn(weir_call *call, void *slot);

/* Set while a stub of this thread settles a task. */
extern _Thread_local bool wml_settling;
/* This thread runs OCaml, and takes what it is told. Set before the core can tell
 * it something: by whoever makes a slot, a main or a worker. */
extern _Thread_local bool wml_runs_ocaml;

/* Release the runtime around a call of the core. Meanwhile the core serves the calls and
 * lends of this thread's mains, but of `dispatched` only by dispatch (NULL: it dispatches
 * none). Partners: acquire is given what release returned. */
typedef struct {
    bool       released;
    weir_main *dispatched;
} wml_released;
wml_released wml_release_runtime(weir_main *dispatched);
void         wml_acquire_runtime(wml_released outer);
/* The core waits until a call or a lend that it serves there has returned, so its OCaml
 * must run at once, under the core's frame. */
bool wml_must_run_now(const slot *s);
/* Acquires the runtime and calls the OCaml function that is registered as `name`, and
 * cached in *f, with the slot's index. That function catches what is raised in it. */
value wml_run_now(const value **f, const char *name, const slot *s);

/* A C pointer as an OCaml integer. */
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

#endif
