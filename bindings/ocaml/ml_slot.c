/* SPDX-License-Identifier: ISC
 *
 * ml_slot.c: the C half of the slots.
 *
 * `lock` guards the free list, the circles of the pools' tasks, and the number of chunks.
 * The word is atomic: a canceller gets a reference to a slot only if the slot has the id's
 * generation and another reference, so that a cancel never meets another task in the same
 * slot.
 */
#include "ml.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_BITS = 10, CHUNK = 1 << CHUNK_BITS, CHUNKS = 1 << 16, INDEX_BITS = 26 };

#define INDEX_MASK (((intnat)1 << INDEX_BITS) - 1)
#define ONE_GENERATION ((uint64_t)1 << 16)
#define REFERENCES (ONE_GENERATION - 1)
/* What of the generation fits into an OCaml integer above the index. */
#define GENERATION(word) (((word) >> 16) & (((uint64_t)1 << 36) - 1))

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static slot           *chunks[CHUNKS];
static unsigned        made;
static slot           *free_slots;

/* ---- fork: in the child no other thread may hold the lock ----------------- */

static void           lock_slots(void) { pthread_mutex_lock(&lock); }
static void           unlock_slots(void) { pthread_mutex_unlock(&lock); }
static weir_fork_hook at_fork = {
    .before = lock_slots, .in_parent = unlock_slots, .in_child = unlock_slots};

/* ---- slots ---------------------------------------------------------------- */

slot *wml_slot_of_index(unsigned index)
{
    slot *chunk = __atomic_load_n(&chunks[index >> CHUNK_BITS], __ATOMIC_ACQUIRE);
    return &chunk[index & (CHUNK - 1)];
}

static slot *make_locked(void)
{
    slot *chunk = chunks[made >> CHUNK_BITS];
    if (made % CHUNK == 0) {
        if (made >> CHUNK_BITS == CHUNKS || !(chunk = calloc(CHUNK, sizeof *chunk)))
            return NULL;
        __atomic_store_n(&chunks[made >> CHUNK_BITS], chunk, __ATOMIC_RELEASE);
    }
    slot *s = &chunk[made % CHUNK];
    s->index = made++;
    return s;
}

static void join_circle_locked(slot *s, slot *lend)
{
    s->older = s->newer = s;
    if (!lend)
        return;
    s->newer = lend, s->older = lend->older;
    s->older->newer = lend->older = s;
}

static void leave_circle_locked(slot *s)
{
    s->older->newer = s->newer;
    s->newer->older = s->older;
}

static slot *make_or_reuse(slot *lend)
{
    lock_slots();
    slot *s = free_slots;
    if (s)
        free_slots = s->next;
    else
        s = make_locked();
    if (s)
        join_circle_locked(s, lend);
    unlock_slots();
    return s;
}

static value make_slot(slot *lend)
{
    weir_on_fork(&at_fork);
    wml_runs_ocaml = true;
    slot *s = make_or_reuse(lend);
    if (!s)
        return Val_long(-1);
    uint64_t word = __atomic_add_fetch(&s->word, 1, __ATOMIC_SEQ_CST);
    s->next = NULL;
    s->main = NULL;
    s->id = (intnat)(GENERATION(word) << INDEX_BITS) | (intnat)s->index;
    return Val_long(s->id);
}

/* unit -> id, or -1 */
value weir_ml_slot_make(value unit)
{
    (void)unit;
    return make_slot(NULL);
}

/* pool -> id, or -1: for one of its tasks */
value weir_ml_task_make(value pool) { return make_slot(Handle_val(pool)->lend); }

slot *wml_slot_own(intnat id) { return wml_slot_of_index((unsigned)(id & INDEX_MASK)); }

slot *wml_slot_hold(intnat id)
{
    slot    *s = wml_slot_own(id);
    uint64_t word = __atomic_load_n(&s->word, __ATOMIC_SEQ_CST);
    do {
        if ((word & REFERENCES) == 0 || GENERATION(word) != (uint64_t)id >> INDEX_BITS)
            return NULL;
    } while (!__atomic_compare_exchange_n(&s->word, &word, word + 1, false, __ATOMIC_SEQ_CST,
                                          __ATOMIC_SEQ_CST));
    return s;
}

void wml_slot_drop(slot *s)
{
    if ((__atomic_fetch_sub(&s->word, 1, __ATOMIC_SEQ_CST) & REFERENCES) != 1)
        return;
    __atomic_fetch_add(&s->word, ONE_GENERATION, __ATOMIC_SEQ_CST);
    lock_slots();
    leave_circle_locked(s);
    memset(&s->u, 0, sizeof s->u);
    s->next = free_slots;
    free_slots = s;
    unlock_slots();
}

/* index -> unit: ends the owner's reference */
value weir_ml_slot_drop(value index)
{
    wml_slot_drop(wml_slot_of_index((unsigned)Long_val(index)));
    return Val_unit;
}

/* unit -> the slots that are not free, for tests */
value weir_ml_slots_live(value unit)
{
    (void)unit;
    intnat n = 0;
    lock_slots();
    for (unsigned i = 0; i < made; i++)
        n += (__atomic_load_n(&wml_slot_of_index(i)->word, __ATOMIC_SEQ_CST) & REFERENCES) != 0;
    unlock_slots();
    return Val_long(n);
}

/* pool, state, array -> how many tasks of the pool are in this state. Fills the array with
 * their ids, as many as it has room for. A slot that was just made or dropped is idle. */
value weir_ml_tasks(value pool, value state, value ids)
{
    const slot *lend = Handle_val(pool)->lend;
    mlsize_t    n = 0;
    lock_slots();
    for (const slot *s = lend->older; s != lend; s = s->older)
        if (weir_task_get_state(&s->u.task) == (weir_task_state)Long_val(state) &&
            n++ < Wosize_val(ids))
            Field(ids, n - 1) = Val_long(s->id);
    unlock_slots();
    return Val_long(n);
}

/* The code of a task that settled without running and was not told yet, or 0. A worker
 * that settles a task has settled its promise before. */
static int never_ran(const slot *s)
{
    if (weir_task_get_state(&s->u.task) != WEIR_TASK_SETTLED)
        return 0;
    int code = weir_task_outcome(&s->u.task);
    return code < 0 ? code : 0;
}

/* id -> code or 0 */
value weir_ml_slot_never_ran(value id)
{
    slot *s = Long_val(id) < 0 ? NULL : wml_slot_hold(Long_val(id));
    if (!s)
        return Val_long(0);
    int code = never_ran(s);
    wml_slot_drop(s);
    return Val_long(code);
}
