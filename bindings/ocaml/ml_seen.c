/* SPDX-License-Identifier: ISC
 *
 * ml_seen.c: what runs in a pool, and what the watcher finds.
 *
 * The watcher tells on a thread of the core, which runs no OCaml. What is for a function waits
 * in a list, from which a thread of OCaml takes it; that thread sleeps here meanwhile.
 */
#define CAML_NAME_SPACE
#include <caml/alloc.h>
#include <caml/memory.h>
#include <caml/threads.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ml.h"

/* ---- what runs ------------------------------------------------------------- */

typedef struct {
    weir_running *task;
    size_t        room, n;
    bool          failed;
} listing;

static void note_running(void *arg, const weir_running *t)
{
    listing *l = arg;
    if (l->n == l->room && !l->failed) {
        weir_running *more = realloc(l->task, (l->room * 2 + 16) * sizeof *more);
        l->failed = !more;
        if (more)
            l->task = more, l->room = l->room * 2 + 16;
    }
    if (!l->failed)
        l->task[l->n++] = *t;
}

static value running_of(const weir_running *t, int64_t now)
{
    CAMLparam0();
    CAMLlocal2(record, label);
    label = t->label ? caml_alloc_some(caml_copy_string(t->label)) : Val_none;
    record = caml_alloc_tuple(5);
    Store_field(record, 0, label);
    Store_field(record, 1, Val_int(t->thread));
    Store_field(record, 2, Val_long(now > t->since ? now - t->since : 0));
    Store_field(record, 3, Val_bool(t->cancel_requested));
    Store_field(record, 4, Val_bool(t->blocking));
    CAMLreturn(record);
}

/* pool -> Raw.running list, the oldest first */
value weir_ml_pool_running(value v)
{
    CAMLparam1(v);
    CAMLlocal3(list, cell, one);
    listing l = {0};
    int     rc = weir_pool_each_running(Pool_val(v), note_running, &l);
    int64_t now = weir_now();
    list = Val_emptylist;
    for (size_t i = l.n; i-- > 0 && rc == 0 && !l.failed;) {
        one = running_of(&l.task[i], now);
        cell = caml_alloc(2, 0);
        Store_field(cell, 0, one);
        Store_field(cell, 1, list);
        list = cell;
    }
    free(l.task);
    CAMLreturn(list);
}

/* ---- the watcher ----------------------------------------------------------- */

enum { KEPT = 16, TEXT = 256 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t  more = PTHREAD_COND_INITIALIZER;
/* Guarded by lock. */
static char     text[KEPT][TEXT];
static unsigned n_texts;
static intnat   round_of; /* how often a watcher began or ended: who waits for one before leaves */

static void lock_texts(void) { pthread_mutex_lock(&lock); }
static void unlock_texts(void) { pthread_mutex_unlock(&lock); }
static void forget_texts(void)
{
    pthread_cond_init(&more, NULL);
    n_texts = 0;
    round_of++;
    unlock_texts();
}
static weir_fork_hook at_fork = {
    .before = lock_texts, .in_parent = unlock_texts, .in_child = forget_texts};

/* What finds no room is left out: the thread that takes it is far behind. */
static void keep_text(void *arg, const weir_sighting *s)
{
    (void)arg;
    lock_texts();
    if (n_texts < KEPT)
        snprintf(text[n_texts++], TEXT, "%s", s->text);
    pthread_cond_signal(&more);
    unlock_texts();
}

static intnat next_round(void)
{
    lock_texts();
    n_texts = 0;
    intnat round = ++round_of;
    pthread_cond_broadcast(&more);
    unlock_texts();
    return round;
}

/* task ns, loop ns, whether a function is told -> round; a code below 0: refused. Both limits
 * 0: nothing is watched */
value weir_ml_watch(value task, value loop, value function)
{
    weir_watch_options o = {.size = sizeof o};
    o.task_ns = Long_val(task), o.loop_ns = Long_val(loop);
    o.tell = Bool_val(function) ? keep_text : NULL;
    bool none = o.task_ns == 0 && o.loop_ns == 0;
    weir_on_fork(&at_fork);
    wml_release_runtime();
    int    rc = weir_watch(NULL);
    intnat round = next_round();
    if (rc == 0 && !none)
        rc = weir_watch(&o);
    caml_acquire_runtime_system();
    return Val_long(rc != 0 ? rc : round);
}

static bool take(intnat round, char out[TEXT])
{
    lock_texts();
    while (round == round_of && n_texts == 0)
        pthread_cond_wait(&more, &lock);
    bool any = round == round_of;
    if (any) {
        memcpy(out, text[0], TEXT);
        memmove(text[0], text[1], sizeof text - TEXT);
        n_texts--;
    }
    unlock_texts();
    return any;
}

/* round -> text option; None: that watcher has ended */
value weir_ml_watch_take(value round)
{
    CAMLparam1(round);
    CAMLlocal1(copy);
    char out[TEXT];
    wml_release_runtime();
    bool any = take(Long_val(round), out);
    caml_acquire_runtime_system();
    if (!any)
        CAMLreturn(Val_none);
    copy = caml_copy_string(out);
    CAMLreturn(caml_alloc_some(copy));
}
