/* SPDX-License-Identifier: ISC
 *
 * background.c: a thread of weir's own that works now and then until it is told to end.
 */
#include "base/background.h"

int wi_background_thread(pthread_t *out, const wi_thread_kind *kind, void *(*fn)(void *), void *arg)
{
    sigset_t old;
    wi_signals_block(0, &old);
    int rc = wi_thread_start(out, kind, fn, arg);
    wi_signals_restore(&old);
    return rc;
}

int wi_background_start(wi_background *b, void *(*fn)(void *), void *arg)
{
    wi_parker_init(&b->parker);
    int rc = wi_background_thread(&b->thread, NULL, fn, arg);
    if (rc != 0)
        wi_parker_destroy(&b->parker);
    return rc;
}

bool wi_background_ends(wi_background *b) { return atomic_load(&b->ends); }

void wi_background_sleep(wi_background *b, int64_t ns) { wi_park(&b->parker, wi_deadline(ns)); }

void wi_background_end(wi_background *b)
{
    atomic_store(&b->ends, true);
    wi_unpark(&b->parker);
    pthread_join(b->thread, NULL);
    wi_parker_destroy(&b->parker);
}
