/* SPDX-License-Identifier: ISC
 *
 * spawning.c: the signal mask and the policy of commands that a task starts.
 *
 * A pool's thread blocks nearly every signal, and a command inherits that: SIGTERM
 * would not end it. So a forked child, and a worker between weir_spawning_begin and
 * _end, have the mask of the thread that opened the pool, and are patient no more. A pool that is
 * opened inside a task passes on the mask of the outer pool.
 */
#include "base/spawning.h"

#include "base/patience.h"

#include "weir.h"

#include <pthread.h>

/* The calling thread's: whether it is a pool's, and the mask that commands get there; its
 * own mask between begin and end, and how many of those are open. */
static _Thread_local struct {
    bool     serves;
    sigset_t commands;
    sigset_t own;
} here;

static _Thread_local unsigned depth;

void wi_spawning_note(sigset_t *commands)
{
    if (here.serves)
        *commands = here.commands;
    else
        pthread_sigmask(SIG_SETMASK, NULL, commands);
}

unsigned *wi_spawning_serve(const sigset_t *commands)
{
    here.serves = true;
    here.commands = *commands;
    return &depth;
}

void wi_spawning_leave(void)
{
    if (depth)
        wi_spawning_end_all();
    here.serves = false;
}

void wi_spawning_end_all(void)
{
    pthread_sigmask(SIG_SETMASK, &here.own, NULL);
    depth = 0;
}

void wi_spawning_forked(void)
{
    if (here.serves)
        pthread_sigmask(SIG_SETMASK, &here.commands, NULL);
    depth = 0; /* an end that comes must not block them again */
}

void weir_restore_policy(void) { wi_patience_set(false); }

void weir_spawning_begin(void)
{
    if (here.serves)
        wi_patience_set(false);
    if (here.serves && depth++ == 0)
        pthread_sigmask(SIG_SETMASK, &here.commands, &here.own);
}

void weir_spawning_end(void)
{
    if (depth && --depth == 0)
        pthread_sigmask(SIG_SETMASK, &here.own, NULL);
}
