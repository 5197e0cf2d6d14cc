/* SPDX-License-Identifier: ISC
 *
 * signal.c: a signal of the process as a descriptor, and waiting for descriptors.
 *
 * One catcher per signal. Its pipe is made once per process and never closed, so that a
 * handler that another thread is still in writes nowhere else. `untaken` goes 0 -> 1 in
 * the handler, before it writes, and 1 -> 0 in take; who waits drains the pipe before it
 * takes. So a signal between the two leaves a byte too many, never one too few. One that
 * finds `untaken` set goes to whoever had the signal before: a program that does not
 * take it any more can still be ended.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "runtime/state.h"
#include "runtime/util.h"
#include "io/io.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CATCHER "weir.signal"
#define N_SIGNALS 32

/* All but `before` are atomic: the handler may run on any thread. `before` is set before
 * the handler is. */
static struct caught {
    _Atomic int      rfd, wfd, pid; /* the pipe, and whose it is: a child makes its own */
    _Atomic int      held, untaken;
    struct sigaction before;
} caught[N_SIGNALS] = {{.rfd = -1, .wfd = -1}}; /* 0 is no signal: a catcher's that was released */

static void on_signal(int number)
{
    struct caught *c = &caught[number];
    int            error = errno;
    if (atomic_exchange(&c->untaken, 1) == 0) {
        ssize_t n = write(atomic_load(&c->wfd), "", 1); /* full: it is readable already */
        (void)n;
    } else {
        sigaction(number, &c->before, NULL);
        raise(number);
    }
    errno = error;
}

static int make_pipe(struct caught *c)
{
    int fds[2];
    if (atomic_load(&c->pid) == getpid())
        return 0;
    if (pipe(fds) != 0 || wl_fds_above(fds) != 0)
        return errno;
    for (int i = 0; i < 2; i++) {
        fcntl(fds[i], F_SETFD, FD_CLOEXEC);
        fcntl(fds[i], F_SETFL, O_NONBLOCK);
    }
    atomic_store(&c->rfd, fds[0]);
    atomic_store(&c->wfd, fds[1]);
    atomic_store(&c->pid, getpid());
    return 0;
}

static int *check_catcher(lua_State *L) { return luaL_checkudata(L, 1, CATCHER); }

static void release(int *number)
{
    struct caught *c = &caught[*number];
    if (*number == 0)
        return;
    sigaction(*number, &c->before, NULL);
    *number = 0;
    atomic_store(&c->untaken, 0);
    atomic_store(&c->held, 0);
}

/* catcher -> ; puts the signal back to whoever had it */
static int catcher_release(lua_State *L)
{
    wl_no_argument(L, "release");
    release(check_catcher(L));
    return 0;
}

/* catcher -> whether it still catches: it was not released */
static int catcher_held(lua_State *L) { return wl_boolean(L, *check_catcher(L) != 0); }

/* catcher -> descriptor; readable once the signal has come */
static int catcher_fd(lua_State *L)
{
    wl_no_argument(L, "fd");
    int number = *check_catcher(L);
    if (number == 0)
        return luaL_error(L, "fd: the signal was released");
    return wl_integer(L, atomic_load(&caught[number].rfd));
}

/* catcher -> ; the descriptor is not readable any more */
static int catcher_drain(lua_State *L)
{
    char buffer[64];
    wl_no_argument(L, "drain");
    while (read(atomic_load(&caught[*check_catcher(L)].rfd), buffer, sizeof buffer) > 0)
        continue;
    return 0;
}

/* catcher -> whether the signal has come since the last take */
static int catcher_take(lua_State *L)
{
    wl_no_argument(L, "take");
    return wl_boolean(L, atomic_exchange(&caught[*check_catcher(L)].untaken, 0));
}

static int refused(lua_State *L, int *number, int error)
{
    atomic_store(&caught[*number].held, 0);
    *number = 0;
    return wl_nil(L, strerror(error));
}

/* number -> catcher | nil, why */
static int catch (lua_State *L)
{
    wl_need_unrestricted(L, "catch");
    lua_Integer wanted = luaL_checkinteger(L, 1);
    luaL_argcheck(L, wanted > 0 && wanted < N_SIGNALS, 1, "no such signal");
    int *number = lua_newuserdata(L, sizeof *number);
    *number = 0;
    luaL_getmetatable(L, CATCHER);
    lua_setmetatable(L, -2);
    struct caught *c = &caught[wanted];
    if (atomic_exchange(&c->held, 1))
        return wl_nil(L, "busy");
    *number = (int)wanted;
    int              error = make_pipe(c);
    struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART: ends a wait */
    sigemptyset(&action.sa_mask);
    if (error != 0 || sigaction(*number, NULL, &c->before) != 0 ||
        sigaction(*number, &action, NULL) != 0)
        return refused(L, number, error ? error : errno);
    lua_settop(L, 2);
    return 1;
}

/* ---- waiting ---------------------------------------------------------------- */

enum { MOST = 8 };

static int poll_for(struct pollfd *fds, int n, int64_t ns)
{
#ifdef __APPLE__
    return poll(fds, (nfds_t)n,
                ns < 0                  ? -1
                : ns > 2000000000000000 ? INT32_MAX
                                        : (int)((ns + 999999) / 1000000));
#else
    struct timespec t = wl_timespec(ns);
    return ppoll(fds, (nfds_t)n, ns < 0 ? NULL : &t, NULL);
#endif
}

/* seconds (negative: no limit) descriptors, or none in place of one... -> whether one is
 * readable; a signal ends it, too */
static int poll_fds(lua_State *L)
{
    lua_Number    seconds = luaL_checknumber(L, 1);
    struct pollfd fds[MOST];
    int           n = lua_gettop(L) - 1;
    luaL_argcheck(L, n <= MOST, MOST + 2, "too many descriptors");
    for (int i = 0; i < n; i++)
        fds[i] = (struct pollfd){.fd = lua_isnumber(L, i + 2) ? (int)lua_tointeger(L, i + 2) : -1,
                                 .events = POLLIN};
    return wl_boolean(L, poll_for(fds, n, seconds < 0 ? -1 : wl_nanoseconds(seconds)) > 0);
}

static int catcher_gc(lua_State *L) { return release(lua_touserdata(L, 1)), 0; }

/* module -> module */
void wl_signal_register(lua_State *L)
{
    static const struct {
        const char *name;
        int         number;
    } numbers[] = {{"HUP", SIGHUP},   {"INT", SIGINT},   {"TERM", SIGTERM},
                   {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"WINCH", SIGWINCH}};
    wl_class(L, CATCHER, "signal", catcher_gc);
    wl_method(L, "catch", catch);
    wl_method(L, "signal_release", catcher_release);
    wl_method(L, "signal_held", catcher_held);
    wl_method(L, "signal_fd", catcher_fd);
    wl_method(L, "signal_drain", catcher_drain);
    wl_method(L, "signal_take", catcher_take);
    wl_method(L, "poll", poll_fds);
    lua_newtable(L);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        lua_pushinteger(L, numbers[i].number);
        lua_setfield(L, -2, numbers[i].name);
    }
    lua_setfield(L, -2, "signals");
}
