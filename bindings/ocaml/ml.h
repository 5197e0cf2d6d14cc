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
    } u;                 /* first: the core hands its address back */
    struct slot   *next; /* among the told, or the free */
    weir_call     *call;
    uint64_t       word; /* generation << 16 | references; atomic */
    intnat         id;
    weir_main     *main; /* where a task's done goes, a call, or a lend */
    weir_pool     *pool; /* SLOT_TASK: a name for its pool, never followed */
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

/* Release the runtime around a call of the core that serves run_in_main calls
 * while it waits, and dispatches `dispatched` (NULL: it dispatches none). What
 * unblock is given, block returned. */
typedef struct {
    bool       blocking;
    weir_main *dispatched;
} wml_blocked;
wml_blocked wml_block(weir_main *dispatched);
void        wml_unblock(wml_blocked outer);
/* What the core serves inside such a call, and does not only deliver, has to run at
 * once, under the core's frame, as has the task that a full queue's caller runs: the
 * OCaml registered as `name`, and cached in *f, with the slot's index. It contains
 * what it raises. */
bool  wml_must_run_now(const slot *s);
value wml_run_now(const value **f, const char *name, const slot *s);

/* A C pointer as an OCaml integer. */
static inline value wml_of_pointer(const void *p) { return (value)p | 1; }
static inline void *wml_pointer(value v) { return (void *)(v & ~(value)1); }
/* NULL for None's stand-in, 0. */
#define Main_val(v) ((weir_main *)wml_pointer(v))

weir_pool *wml_pool_val(value v);
#define Pool_val(v) wml_pool_val(v)

#pragma GCC visibility pop

#endif
