/* SPDX-License-Identifier: ISC
 *
 * glib.c: an exclusive GThreadPool. It allocates a node per task.
 */
#include "mailbox.h"

#include <glib.h>

static GThreadPool *pool;

static void run(void *mail, void *unused)
{
    (void)unused;
    serve(mail);
}

void pool_open(unsigned threads)
{
    MUST(pool = g_thread_pool_new(run, NULL, (int)threads, TRUE, NULL));
}

void pool_close(void) { g_thread_pool_free(pool, FALSE, TRUE); }

void enqueue(struct mail *m) { MUST(g_thread_pool_push(pool, m, NULL)); }
