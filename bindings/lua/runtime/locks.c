/* SPDX-License-Identifier: ISC
 *
 * locks.c: the locks of jobs and pools.
 *
 * A child of fork must find them free: the thread that held one stayed behind. A fork can take
 * a few locks that all objects share, but not one in each of a hundred thousand jobs.
 */
#include "runtime/locks.h"
#include "weir.h"

#include <pthread.h>
#include <stdalign.h>
#include <stdint.h>

enum { LOCKS = 16, LINE = 64 };

static struct {
    alignas(LINE) pthread_mutex_t lock;
} locks[LOCKS];

static pthread_mutex_t *lock_of(const void *object)
{
    return &locks[(uintptr_t)object / LINE % LOCKS].lock;
}

void wl_lock(const void *object) { pthread_mutex_lock(lock_of(object)); }
void wl_unlock(const void *object) { pthread_mutex_unlock(lock_of(object)); }

static void take_all(void)
{
    for (int i = 0; i < LOCKS; i++)
        pthread_mutex_lock(&locks[i].lock);
}

static void give_all(void)
{
    for (int i = 0; i < LOCKS; i++)
        pthread_mutex_unlock(&locks[i].lock);
}

static weir_fork_hook at_fork = {.before = take_all, .in_parent = give_all, .in_child = give_all};

static void init(void)
{
    for (int i = 0; i < LOCKS; i++)
        pthread_mutex_init(&locks[i].lock, NULL);
}

void wl_locks_register(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, init);
    weir_on_fork(&at_fork);
}
