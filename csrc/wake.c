/* SPDX-License-Identifier: ISC
 *
 * wake.c: the pollable descriptor of a main, an eventfd or a pipe.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "platform.h"

#include "weir.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#ifdef WI_EVENTFD
#include <sys/eventfd.h>

static int fresh(wi_wake *w)
{
    w->rfd = w->wfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return w->rfd < 0 ? WEIR_EMFILE : 0;
}

#else

#ifndef __linux__
static int pipe2(int fds[2], int flags)
{
    if (pipe(fds) != 0)
        return -1;
    for (int i = 0; i < 2; i++) {
        fcntl(fds[i], F_SETFD, FD_CLOEXEC);
        fcntl(fds[i], F_SETFL, flags & O_NONBLOCK);
    }
    return 0;
}
#endif

static int fresh(wi_wake *w)
{
    int fds[2] = {-1, -1};
    int rc = pipe2(fds, O_CLOEXEC | O_NONBLOCK) == 0 ? 0 : WEIR_EMFILE;
    w->rfd = fds[0], w->wfd = fds[1];
    return rc;
}

#endif

int wi_wake_open(wi_wake *w) { return fresh(w); }

void wi_wake_close(wi_wake *w)
{
    close(w->rfd);
    if (w->wfd != w->rfd)
        close(w->wfd);
}

/* A full counter or pipe is readable already; any other refusal is tried again,
 * for a lost write is a lost wake-up. */
void wi_wake_raise(wi_wake *w)
{
    const uint64_t one = 1;
    while (w->wfd >= 0) { /* -1: a child that got no fresh descriptor */
        if (write(w->wfd, &one, sizeof one) > 0)
            return;
        struct pollfd p = {.fd = w->rfd, .events = POLLIN};
        if (errno != EINTR && poll(&p, 1, 0) == 1)
            return;
    }
}

/* One read empties an eventfd, and a pipe as far as it matters: at most one
 * write is under way at a time, see main.c. */
bool wi_wake_drain(wi_wake *w)
{
    uint64_t buffer[8];
    for (;;) {
        if (read(w->rfd, buffer, sizeof buffer) > 0)
            return true;
        if (errno != EINTR)
            return false;
    }
}

static void renumber(int from, int to)
{
    if (from < 0 || from == to)
        return;
    dup2(from, to);
    fcntl(to, F_SETFD, FD_CLOEXEC);
    close(from);
}

/* The old numbers are closed first, so that a child at its descriptor limit
 * has room; the new ones may land on each other's old number, hence `far`. */
void wi_wake_reopen(wi_wake *w)
{
    wi_wake old = *w;
    wi_wake_close(w);
    if (fresh(w) != 0)
        return;
    if (old.rfd == old.wfd || w->wfd != old.rfd) {
        renumber(w->rfd, old.rfd);
        if (old.wfd != old.rfd)
            renumber(w->wfd, old.wfd);
    } else {
        int far = dup(w->wfd);
        renumber(w->rfd, old.rfd);
        renumber(far, old.wfd);
    }
    *w = old;
}
