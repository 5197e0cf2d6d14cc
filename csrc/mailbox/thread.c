/* SPDX-License-Identifier: ISC
 *
 * thread.c: the record of a thread that owns mains, and whose pool's a thread is.
 */
#include "mailbox/thread.h"

#include <stdlib.h>

static _Thread_local wi_thread *self;
static _Thread_local uint64_t   pool_of_self;

wi_thread *wi_thread_self(void) { return self; }

void     wi_thread_belong(uint64_t pool) { pool_of_self = pool; }
uint64_t wi_thread_pool(void) { return pool_of_self; }

wi_thread *wi_thread_make(void)
{
    if (!self && (self = calloc(1, sizeof *self))) {
        wi_parker_init(&self->parker);
        wi_list_init(&self->mains);
        atomic_init(&self->refs, 1);
    }
    return self;
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
    if (self && wi_list_empty(&self->mains) && atomic_load(&self->waiting) == 0) {
        wi_thread_drop(self);
        self = NULL;
    }
}
