/* SPDX-License-Identifier: ISC
 *
 * thread.c: the record of a thread that owns mains, and whose pool's a thread is.
 */
#include "mailbox/thread.h"

#include <stdlib.h>

_Thread_local wi_thread      *wi_the_thread;
static _Thread_local uint64_t pool_of_self;

void     wi_thread_belong(uint64_t pool) { pool_of_self = pool; }
uint64_t wi_thread_pool(void) { return pool_of_self; }

wi_thread *wi_thread_make(void)
{
    if (!wi_the_thread && (wi_the_thread = calloc(1, sizeof *wi_the_thread))) {
        wi_parker_init(&wi_the_thread->parker);
        wi_list_init(&wi_the_thread->mains);
        atomic_init(&wi_the_thread->refs, 1);
    }
    return wi_the_thread;
}

void wi_thread_drop(wi_thread *t)
{
    if (atomic_fetch_sub(&t->refs, 1) == 1) {
        wi_parker_destroy(&t->parker);
        free(t);
    }
}

void wi_thread_forget(void)
{
    if (wi_the_thread && wi_list_empty(&wi_the_thread->mains) &&
        atomic_load(&wi_the_thread->waiting) == 0) {
        wi_thread_drop(wi_the_thread);
        wi_the_thread = NULL;
    }
}
