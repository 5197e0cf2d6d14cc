/* SPDX-License-Identifier: ISC
 *
 * publish.c: lets weir-top look at this process, through a socket in the user's own folder.
 *
 * DESIGN. A thread sleeps until somebody connects, writes one snapshot as text and hangs up, so
 * that nothing is done while nobody looks. `current` is the one publisher. Who finds none puts
 * its own there, under the lock, and then starts it; who ends it takes it away first. So of two
 * calls at once one publishes, and one ends. A fork takes the lock; its child closes the socket
 * and forgets the publisher, whose thread stayed behind.
 *
 * The text: lines of "kind key=value ...", the last one "end". A reader passes by kinds and keys
 * that it does not know. A value is percent-encoded where it holds a space, a control character
 * or a percent sign.
 */
#if defined __linux__ && !defined _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "pool/publish.h"

#include "base/background.h"
#include "base/buffer.h"
#include "pool/pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Atomic bool has_looked; /* whether the environment asks for it */

static void complain(const char *asked, int rc)
{
    bool is_bad = rc == WEIR_EINVAL, is_folder = strchr(asked, '/') != NULL;
    if (is_bad && is_folder && *asked != '/')
        fprintf(stderr, "weir: WEIR_TOP=%s: name the folder by its absolute path\n", asked);
    else if (is_bad && !is_folder && !getenv("XDG_RUNTIME_DIR"))
        fprintf(
            stderr,
            "weir: WEIR_TOP=%s: there is no $XDG_RUNTIME_DIR; name a folder by its absolute path\n",
            asked);
    else
        fprintf(stderr, "weir: WEIR_TOP=%s: no socket there for weir-top: %s\n", asked,
                is_folder && access(asked, F_OK) != 0 ? "there is no such folder"
                                                      : weir_strerror(rc));
}

void wi_publish_if_asked(void)
{
    if (atomic_exchange(&has_looked, true))
        return;
    const char *asked = wi_asked("WEIR_TOP");
    if (!asked || !*asked || strcmp(asked, "0") == 0)
        return;
    int rc = weir_publish(strchr(asked, '/') ? asked : NULL);
    if (rc != 0 && rc != WEIR_EBUSY) /* the program has done it by itself */
        complain(asked, rc);
}

#ifdef __linux__
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

typedef struct {
    int                fd;      /* -1: not yet */
    bool               started; /* guarded by lock, as `current` is */
    pthread_t          thread;
    struct sockaddr_un address;
} publisher;

static wi_mutex   lock = WI_MUTEX;
static publisher *current;

/* ---- the text --------------------------------------------------------------- */

static void write_value(wi_buffer *t, const char *key, const char *text)
{
    wi_buffer_add(t, " %s=", key);
    for (; *text; text++)
        if ((unsigned char)*text <= ' ' || *text == '%' || *text == 0x7f)
            wi_buffer_add(t, "%%%02x", (unsigned char)*text);
        else
            wi_buffer_add(t, "%c", *text);
}

static void write_task(void *arg, const weir_running *r)
{
    wi_buffer *t = arg;
    wi_buffer_add(t, "task ns=%lld thread=%d parked=%d stop=%d blocking=%d",
                  (long long)(weir_now() - r->since), r->thread, r->state == WEIR_TASK_PARKED,
                  r->cancel_requested, r->blocking);
    write_value(t, "label", r->label ? r->label : "");
    wi_buffer_add(t, "\n");
}

/* The buckets that are not empty, each as its upper bound and its count. */
static void write_times(wi_buffer *t, weir_pool *p, weir_histogram which, const char *name)
{
    uint64_t counts[WEIR_BUCKETS];
    if (weir_pool_get_histogram(p, which, counts) != 0)
        return;
    wi_buffer_add(t, "times of=%s", name);
    for (int i = 0; i < WEIR_BUCKETS; i++)
        if (counts[i])
            wi_buffer_add(t, " %llu=%llu", 1ull << i, (unsigned long long)counts[i]);
    wi_buffer_add(t, "\n");
}

static void write_pool(void *arg, weir_pool *p)
{
    wi_buffer      *t = arg;
    weir_pool_stats s = {.size = sizeof s};
    weir_pool_get_stats(p, &s);
    wi_buffer_add(t, "pool threads=%u idle=%u running=%u queued=%zu parked=%zu lost=%u", s.threads,
                  s.idle, s.running, s.queued, s.parked, s.lost);
    wi_buffer_add(t, " submitted=%llu failed=%llu refused=%llu queued_ns=%lld",
                  (unsigned long long)s.submitted, (unsigned long long)s.failed,
                  (unsigned long long)s.refused, (long long)s.oldest_queued_ns);
    wi_buffer_add(
        t, " ended=%llu",
        (unsigned long long)(s.ok + s.failed + s.cancelled + s.expired + s.closed + s.dropped));
    write_value(t, "name", p->name);
    wi_buffer_add(t, "\n");
    write_times(t, p, WEIR_QUEUE_TIME, "queue");
    write_times(t, p, WEIR_RUN_TIME, "run");
    t->failed |= weir_pool_each_running(p, write_task, t) != 0;
}

static void write_main(void *arg, weir_main *m)
{
    weir_main_stats s = {.size = sizeof s};
    weir_main_get_stats(m, &s);
    wi_buffer_add(arg, "main thread=%lu pending=%zu lag_ns=%lld unturned_ns=%lld\n", s.thread,
                  s.pending, (long long)s.lag_ns, (long long)s.unturned_ns);
}

/* Whether it is whole. */
static bool snapshot(wi_buffer *t)
{
    wi_buffer_add(t, "weir version=%s pid=%ld now_ns=%lld\n", WEIR_VERSION, (long)getpid(),
                  (long long)weir_now());
    bool looked = weir_each_main(write_main, t) == 0 && weir_each_pool(write_pool, t) == 0;
    wi_buffer_add(t, "end\n");
    return looked && !t->failed;
}

/* ---- serving ---------------------------------------------------------------- */

/* The folder keeps others out; so does this, wherever the socket is. */
static bool is_ours(int client)
{
    struct ucred who;
    socklen_t    size = sizeof who;
    return getsockopt(client, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0 &&
           (who.uid == geteuid() || who.uid == 0);
}

/* A reader that does not read is left after a second. */
static void answer(int client)
{
    struct timeval limit = {.tv_sec = 1};
    wi_buffer      t = {0};
    size_t         length = is_ours(client) && snapshot(&t) ? t.length : 0;
    setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    for (size_t sent = 0; sent < length;) {
        ssize_t n = send(client, t.at + sent, length - sent, MSG_NOSIGNAL);
        if (n <= 0 && errno != EINTR)
            break;
        sent += n > 0 ? (size_t)n : 0;
    }
    free(t.at);
    close(client);
}

static void *serve(void *arg)
{
    publisher *p = arg;
    wi_thread_name("weir", "top");
    for (;;) {
        int client = accept4(p->fd, NULL, NULL, SOCK_CLOEXEC);
        if (client >= 0)
            answer(client);
        else if (errno == EINVAL || errno == EBADF) /* it was shut down */
            return NULL;
        else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            poll(NULL, 0, 100);
    }
}

/* ---- beginning and end ------------------------------------------------------- */

static void take_lock(void) { wi_mutex_lock(&lock); }
static void give_lock(void) { wi_mutex_unlock(&lock); }

static void forget_parents(void)
{
    if (current && current->fd >= 0)
        close(current->fd);
    free(current);
    current = NULL;
    atomic_store(&has_looked, false);
    give_lock();
}

/* What is left of a process that had our number goes. */
static int listen_at(publisher *p)
{
    int fd = wi_fd_above(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (fd < 0)
        return WEIR_EMFILE;
    unlink(p->address.sun_path);
    bool there = fchmod(fd, 0600) == 0 && /* before the bind: it is never open to others */
                 bind(fd, (struct sockaddr *)&p->address, sizeof p->address) == 0;
    if (there && listen(fd, 8) == 0) {
        p->fd = fd;
        return 0;
    }
    if (there)
        unlink(p->address.sun_path);
    close(fd);
    return WEIR_EINVAL;
}

static int start(publisher *p)
{
    int rc = listen_at(p);
    if (rc != 0)
        return rc;
    rc = wi_background_thread(&p->thread, NULL, serve, p);
    if (rc != 0) {
        unlink(p->address.sun_path);
        close(p->fd);
    }
    return rc;
}

static int new_publisher(publisher **out, const char *folder)
{
    static weir_fork_hook hook = {
        .before = take_lock, .in_parent = give_lock, .in_child = forget_parents};
    publisher *p = calloc(1, sizeof *p);
    if (!p || weir_on_fork(&hook) != 0) {
        free(p);
        return WEIR_ENOMEM;
    }
    size_t room = sizeof p->address.sun_path;
    p->fd = -1;
    p->address.sun_family = AF_UNIX;
    int n = snprintf(p->address.sun_path, room, "%s/weir-%ld", folder, (long)getpid());
    *out = p;
    return n < (int)room ? 0 : WEIR_EINVAL;
}

/* Whether there was none. */
static bool take_place(publisher *p)
{
    take_lock();
    bool first = !current;
    if (first)
        current = p;
    give_lock();
    return first;
}

static void leave_place(publisher *p, bool started)
{
    take_lock();
    p->started = started;
    if (!started)
        current = NULL;
    give_lock();
}

int weir_publish(const char *folder)
{
    publisher *p = NULL;
    if (!folder)
        folder = getenv("XDG_RUNTIME_DIR");
    if (!folder || *folder != '/')
        return WEIR_EINVAL;
    int rc = new_publisher(&p, folder);
    if (rc == 0 && !take_place(p))
        rc = WEIR_EBUSY;
    else if (rc == 0)
        leave_place(p, (rc = start(p)) == 0);
    if (rc != 0)
        free(p);
    return rc;
}

void weir_unpublish(void)
{
    take_lock();
    publisher *p = current && current->started ? current : NULL;
    if (p)
        current = NULL;
    give_lock();
    if (!p)
        return;
    shutdown(p->fd, SHUT_RDWR);
    wi_thread_join(p->thread, -1);
    close(p->fd);
    unlink(p->address.sun_path);
    free(p);
}

/* At the end of the process only the name goes. */
WI_AT_UNLOAD static void unlink_at_exit(void)
{
    if (current && current->started)
        unlink(current->address.sun_path);
}

#else

int weir_publish(const char *folder)
{
    (void)folder;
    return WEIR_ENOTSUP;
}

void weir_unpublish(void) {}

#endif
