/* SPDX-License-Identifier: ISC
 *
 * at_fork.c: what is called around a fork, and in which order.
 *
 * Handlers of pthread_atfork come in the order in which code is loaded or first used. Here
 * the hooks of bindings come before the core's, in whatever order the two were added, because
 * a thread may hold a binding's lock while it calls the core.
 *
 * A hook is added without a lock, because its thread may hold one that another hook takes. A
 * fork calls the hooks that it found when it began, because a hook that is added meanwhile
 * would give back what it never took.
 */
#include "base/at_fork.h"

#include "base/list.h"
#include "base/patience.h"
#include "base/platform.h"
#include "base/stack.h"

static wi_stack                  hooks; /* none is ever taken off */
static _Atomic(weir_fork_hook *) cores;

/* Held from a fork's first hook to its last, and what it found. */
static wi_mutex        forking = WI_MUTEX;
static weir_link      *found;
static weir_fork_hook *found_cores;

static weir_fork_hook *hook_of(weir_link *e) { return wi_container(e, weir_fork_hook, weir.link); }

static void call(void (*fn)(void))
{
    if (fn)
        fn();
}

static void before(void)
{
    wi_patience_set(false); /* the child would inherit it */
    wi_mutex_lock(&forking);
    found = wi_stack_newest(&hooks);
    found_cores = atomic_load(&cores);
    for (weir_link *e = found; e; e = e->next)
        call(hook_of(e)->before);
    if (found_cores)
        call(found_cores->before);
}

static void call_after(const weir_fork_hook *hook, bool child)
{
    call(child ? hook->in_child : hook->in_parent);
}

/* The oldest first. */
static void each_after(weir_link *e, bool child)
{
    if (!e)
        return;
    each_after(e->next, child);
    call_after(hook_of(e), child);
}

unsigned wi_forks;

static void after(bool child)
{
    if (child)
        wi_forks++; /* in the parent other threads may read it now */
    if (found_cores)
        call_after(found_cores, child);
    each_after(found, child);
    wi_mutex_unlock(&forking);
}

static void after_in_parent(void) { after(false); }
static void after_in_child(void) { after(true); }

static int refusal;

static void install(void) { refusal = pthread_atfork(before, after_in_parent, after_in_child); }

static int installed(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install);
    return refusal == 0 ? 0 : WEIR_ENOMEM;
}

void wi_at_fork(weir_fork_hook *hook)
{
    atomic_store(&cores, hook);
    installed();
}

int weir_on_fork(weir_fork_hook *hook)
{
    if (!hook)
        return WEIR_EINVAL;
    if (__atomic_load_n(&hook->weir.added, __ATOMIC_SEQ_CST))
        return 0;
    if (installed() != 0)
        return WEIR_ENOMEM;
    if (__atomic_exchange_n(&hook->weir.added, 1, __ATOMIC_SEQ_CST))
        return 0;
    while (!wi_stack_push_onto(&hooks, wi_stack_newest(&hooks), &hook->weir.link)) {
    }
    return 0;
}
