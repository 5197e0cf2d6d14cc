/* SPDX-License-Identifier: ISC
 *
 * worker_loop.c: a worker program with one thread that is its loop. "holds" and "stops" are
 * held until a byte comes or their client cancels; "hogs" lets the loop stand still until then.
 */
#include "server.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

static weir_request *held[16];
static int           n_held;

static void say(const char *what, weir_request *r)
{
    char line[200];
    int  n = snprintf(line, sizeof line, "%s %s %u\n", what, weir_request_id(r),
                      weir_request_attempt(r));
    if (write(1, line, (size_t)n) != n)
        _exit(3);
}

static int l_echo(weir_request *r, void *arg)
{
    echo(r, arg);
    weir_request_release(r);
    return 0;
}

static int l_holds(weir_request *r, void *arg)
{
    (void)arg;
    say(weir_request_name(r), r);
    held[n_held++] = r;
    return 0;
}

static int l_hogs(weir_request *r, void *arg)
{
    char byte;
    say("hogs", r);
    if (read(0, &byte, 1) != 1)
        _exit(0);
    return l_echo(r, arg);
}

static void release(int i)
{
    weir_request *r = held[i];
    held[i] = held[--n_held];
    weir_request_release(r);
}

static void stop(weir_request *r, void *arg)
{
    (void)arg;
    say("stopped", r);
    for (int i = 0; i < n_held; i++)
        if (held[i] == r)
            release(i);
}

static const weir_handler all[] = {
    {"echo", l_echo, 0}, {"holds", l_holds, 0}, {"stops", l_holds, 0}, {"slow", l_hogs, 0}};

static void go_on(void)
{
    char byte;
    if (read(0, &byte, 1) != 1)
        _exit(0);
    echo(held[0], NULL);
    release(0);
}

/* Until SIGTERM. */
static void turn(weir_main *m, int ends)
{
    struct pollfd p[] = {{weir_main_fd(m), POLLIN, 0}, {0, POLLIN, 0}, {ends, POLLIN, 0}};
    while (!p[2].revents) {
        p[1].fd = n_held ? 0 : -1;
        poll(p, 3, -1);
        weir_main_dispatch(m, 0);
        if (n_held && p[1].revents)
            go_on();
    }
}

/* A drain while something is held: the loop goes on until the program has answered. */
static void drain(weir_remote *farm, weir_main *m)
{
    struct pollfd p[] = {{weir_main_fd(m), POLLIN, 0}, {0, POLLIN, 0}};
    while (weir_remote_close(farm, WEIR_REMOTE_DRAIN, m, 0) == WEIR_ETIMEDOUT) {
        p[1].fd = n_held ? 0 : -1;
        poll(p, 2, -1);
        if (n_held && p[1].revents)
            go_on();
    }
}

int worker_loop(const char *at)
{
    sigset_t            ends;
    weir_main          *m;
    weir_remote        *farm;
    weir_remote_options o = server_options();
    o.url = at;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    expect_eq(weir_main_open(&m), 0);
    expect_eq(weir_remote_open(&farm, &o), 0);
    weir_loop_options l = {.size = sizeof l, .deliver_to = m, .at_once = 4, .stop = stop};
    expect_eq(weir_remote_serve_loop(farm, &l, all, sizeof all / sizeof *all), 0);
    turn(m, signalfd(-1, &ends, SFD_CLOEXEC));
    drain(farm, m);
    main_end(m);
    return 0;
}
