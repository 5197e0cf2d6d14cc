/* SPDX-License-Identifier: ISC
 *
 * fork: what a child must not share with its parent.
 */
#include "fork.h"

#include "weir.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

static struct {
    pthread_mutex_t  lock;
    wr_socket       *sockets; /* guarded by lock */
    _Atomic unsigned forks;
} the = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void before(void) { pthread_mutex_lock(&the.lock); }
static void in_parent(void) { pthread_mutex_unlock(&the.lock); }

static void in_child(void)
{
    for (; the.sockets; the.sockets = the.sockets->next)
        close(the.sockets->fd);
    atomic_fetch_add(&the.forks, 1);
    pthread_mutex_unlock(&the.lock);
}

static weir_fork_hook hook = {before, in_parent, in_child, {{0}, 0}};
static pthread_once_t hooked = PTHREAD_ONCE_INIT;

/* Without memory for the hook a child is taken for its parent, as before a first farm. */
static void add_hook(void) { weir_on_fork(&hook); }

unsigned wr_forks(void)
{
    pthread_once(&hooked, add_hook);
    return atomic_load(&the.forks);
}

void wr_socket_add(wr_socket *s, int fd)
{
    pthread_mutex_lock(&the.lock);
    s->fd = fd;
    s->next = the.sockets;
    the.sockets = s;
    pthread_mutex_unlock(&the.lock);
}

void wr_socket_remove(wr_socket *s)
{
    pthread_mutex_lock(&the.lock);
    wr_socket **at = &the.sockets;
    while (*at && *at != s)
        at = &(*at)->next;
    if (*at)
        *at = s->next;
    pthread_mutex_unlock(&the.lock);
}
