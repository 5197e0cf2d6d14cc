/* SPDX-License-Identifier: ISC
 *
 * interrupt.c: how a program's signals end its waits.
 *
 * What lua does on SIGINT is to set a hook, which raises before the next instruction. A
 * thread that waits in C has none. So a wait of a state that is no pool thread's ends early
 * when a handler has set a hook in it; the Lua code that waits goes on then, and would
 * wait again.
 *
 * The core's own wait is not ended by a signal. It is the faster one, so it comes first,
 * for a moment; then the thread polls the main's descriptor. Signals are blocked between
 * the look at the hook and the poll, which unblocks them: one that comes before the look
 * has set its hook by then, a later one ends the poll. A hook that the last wait saw
 * already is a debugger's and no reason to return.
 *
 * The poll serves this main alone. On a thread with others of ours, where calls into them
 * must be served, the core's wait has to do, and there a signal waits, too.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "runtime/interrupt.h"
#include "runtime/state.h"
#include "runtime/util.h"
#include "weir.h"

#include <poll.h>
#include <signal.h>

enum { MOMENT_NS = 200000 };

#if LUA_VERSION_NUM >= 502

/* Hooks belong to coroutines there, and the handler knows the main program's only: so the
 * running one gets it instead. */
static lua_State *main_thread(lua_State *L)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
    lua_State *main = lua_tothread(L, -1);
    lua_pop(L, 1);
    return main;
}

#else

static lua_State *main_thread(lua_State *L) { return L; }

#endif

static bool is_interrupted(lua_State *L, lua_State *program, wl_state *s)
{
    lua_Hook hook = lua_gethook(program);
    bool     is_new = hook && hook != s->hook;
    s->hook = hook;
    if (is_new && program != L) {
        lua_sethook(L, hook, lua_gethookmask(program), lua_gethookcount(program));
        lua_sethook(program, s->hook = NULL, 0, 0);
    }
    return is_new;
}

static void poll_until(struct pollfd *fd, int64_t deadline, const sigset_t *mask)
{
    int64_t         left = deadline - wl_now();
    struct timespec t = wl_timespec(left);
    if (left < 0)
        return;
#ifdef __APPLE__
    pthread_sigmask(SIG_SETMASK, mask,
                    NULL); /* no ppoll: a signal that comes now is seen a second later */
    poll(fd, 1, t.tv_sec > 0 ? 1000 : (int)(t.tv_nsec / 1000000) + 1);
#else
    ppoll(fd, 1, deadline == INT64_MAX ? NULL : &t, mask);
#endif
}

/* False: interrupted. */
static bool poll_main(lua_State *L, lua_State *program, wl_main *m, int64_t deadline)
{
    struct pollfd fd = {.fd = weir_main_fd(m->weir), .events = POLLIN};
    sigset_t      all, before;
    sigfillset(&all);
    wl_main_polled(m, true);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool goes_on = !is_interrupted(L, program, m->state);
    if (goes_on)
        poll_until(&fd, deadline, &before);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    wl_main_polled(m, false);
    return goes_on && !is_interrupted(L, program, m->state);
}

int wl_interrupt_wait(lua_State *L, wl_main *m, int64_t ns)
{
    if (wl_mains_here(0) > 1 || ns == 0 || (ns < 0 && weir_main_pending(m->weir) == 0))
        return weir_main_wait(m->weir, ns);
    int64_t    deadline = wl_after(ns);
    int        n = weir_main_wait(m->weir, ns >= 0 && ns < MOMENT_NS ? ns : MOMENT_NS);
    lua_State *program = main_thread(L);
    while (n == 0 && (ns < 0 ? weir_main_pending(m->weir) != 0 : wl_now() < deadline)) {
        bool goes_on = poll_main(L, program, m, deadline);
        n = weir_main_dispatch(m->weir, 0);
        if (!goes_on)
            break;
    }
    return n;
}
