/* SPDX-License-Identifier: ISC
 *
 * wake.c: the pollable descriptor of a main, an eventfd or a pipe.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "base/platform.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#ifdef WI_EVENTFD
#include <sys/eventfd.h>
#endif

int wi_fd_above(int fd)
{
    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    int above = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    close(fd);
    return above;
}

/* macOS alone has no pipe2, so there a fork of another thread may meet the moment before
 * the flags are set. */
static int open_pipe(int fds[2])
{
#ifdef __APPLE__
    if (pipe(fds) != 0)
        return -1;
    for (int i = 0; i < 2; i++) {
        fcntl(fds[i], F_SETFD, FD_CLOEXEC);
        fcntl(fds[i], F_SETFL, O_NONBLOCK);
    }
    return 0;
#else
    return pipe2(fds, O_CLOEXEC | O_NONBLOCK);
#endif
}

/* Closes both and says so, if one is none. */
static int checked(wi_wake *w)
{
    if (w->rfd >= 0 && w->wfd >= 0)
        return 0;
    if (w->rfd >= 0)
        close(w->rfd);
    if (w->wfd >= 0)
        close(w->wfd);
    w->rfd = w->wfd = -1;
    return WEIR_EMFILE;
}

static int fresh_pipe(wi_wake *w)
{
    int  fds[2] = {-1, -1};
    bool opened = open_pipe(fds) == 0;
    w->rfd = opened ? wi_fd_above(fds[0]) : -1;
    w->wfd = opened ? wi_fd_above(fds[1]) : -1;
    return checked(w);
}

/* A sandbox may know pipes and no eventfd; out of descriptors a pipe would be, too. */
int wi_wake_open(wi_wake *w)
{
#ifdef WI_EVENTFD
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    w->rfd = w->wfd = wi_fd_above(fd);
    if (fd >= 0)
        return w->rfd >= 0 ? 0 : WEIR_EMFILE;
    if (errno != ENOSYS && errno != EPERM)
        return WEIR_EMFILE;
#endif
    return fresh_pipe(w);
}

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
 * write is under way at a time, see mailbox.c. */
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
    if (from == to)
        return;
    dup2(from, to);
    fcntl(to, F_SETFD, FD_CLOEXEC);
    close(from);
}

/* The old one is closed first, so that a child at its descriptor limit has room. The
 * number that is kept is the one that the loop reads; that a pipe is written to may
 * change, as may what kind it is, for a sandbox may have come since. A child that got none
 * has no number to keep for a child of its own. */
void wi_wake_reopen(wi_wake *w)
{
    int number = w->rfd;
    wi_wake_close(w);
    if (wi_wake_open(w) != 0 || number < 0)
        return;
    bool one = w->rfd == w->wfd;
    if (!one && w->wfd == number) /* its other end landed there */
        w->wfd = fcntl(number, F_DUPFD_CLOEXEC, 0);
    renumber(w->rfd, number);
    w->rfd = number;
    if (one)
        w->wfd = number;
}
