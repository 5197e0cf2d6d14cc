/* SPDX-License-Identifier: ISC
 *
 * epoll.c: reads files, so that the system has them in memory, from a loop over epoll(7) that
 * never waits elsewhere. A full queue holds it up until there is space. SIGTERM has it finish
 * what was accepted; a second one drops what does not run yet.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <weir.h>

static weir_main *loop;
static weir_pool *pool;
static char     **next; /* the first name that was not accepted yet */

static int read_file(void *name, void *state) /* on a worker: it may block */
{
    FILE *in = fopen(name, "r");
    if (!in)
        return errno; /* not -errno: the codes below 0 are weir's */
    while (getc(in) != EOF)
        continue;
    return fclose(in), 0;
}

static void was_read(void *name, int outcome) /* on the loop's thread */
{
    printf("%s: %s\n", (char *)name, outcome > 0 ? strerror(outcome) : weir_strerror(outcome));
}

static void closed(weir_notice *notice, int outcome) { puts("closed"); }

static void stop(void) /* a signal, or all files were accepted */
{
    static weir_notice over = {.fn = closed};
    static int         before;
    puts(before ? "closing" : "draining");
    if (before++) /* `over` is still to come */
        weir_close_async(pool, WEIR_CLOSE, loop, NULL);
    else
        weir_close_async(pool, WEIR_DRAIN, loop, &over);
}

static void submit(weir_notice *space, int outcome) /* and again whenever there is space */
{
    int rc = 0;
    while (*next && (rc = weir_run_fn(pool, read_file, *next, was_read, loop)) == 0)
        printf("%s: accepted\n", *next++);
    if (rc == WEIR_EFULL)
        weir_pool_on_space(pool, space, loop);
    else if (rc == 0) /* otherwise a signal has closed the pool */
        stop();
}

int main(int argc, char **argv)
{
    weir_pool_options       opts = {.size = sizeof opts, .threads = 1, .queue_limit = 1};
    weir_notice             space = {.fn = submit};
    struct epoll_event      e = {.events = EPOLLIN};
    struct signalfd_siginfo signal;
    sigset_t                set;
    sigemptyset(&set), sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL); /* the loop reads it instead */
    int epoll = epoll_create1(0), signals = signalfd(-1, &set, SFD_NONBLOCK);
    if (weir_main_open(&loop) != 0 || weir_pool_open(&pool, &opts) != 0 ||
        epoll_ctl(epoll, EPOLL_CTL_ADD, signals, &e) != 0 ||
        epoll_ctl(epoll, EPOLL_CTL_ADD, weir_main_fd(loop), &e) != 0)
        return 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    next = argv + 1;
    submit(&space, 0);
    while (weir_main_pending(loop) > 0) {
        epoll_wait(epoll, &e, 1, -1);
        if (read(signals, &signal, sizeof signal) > 0)
            stop();
        weir_main_dispatch(loop, 0);
    }
    weir_pool_release(pool);
    return weir_main_close(loop, 0) != 0;
}
