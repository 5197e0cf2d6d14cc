/* SPDX-License-Identifier: ISC
 *
 * proxy.c: one thread with poll.
 */
#include "proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int connect_to_server(void)
{
    struct sockaddr_in to_ = loopback(atoi(strrchr(server_url(), ':') + 1));
    int                fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&to_, sizeof to_) == 0)
        return fd;
    close(fd);
    return -1;
}

static void drop(proxied *pair)
{
    close(pair->client);
    if (pair->server >= 0)
        close(pair->server);
    *pair = (proxied){-1, -1, ""};
}

static void take_in(proxy *p)
{
    int fd = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);
    for (int i = 0; fd >= 0 && i < PROXY_MOST; i++)
        if (p->pair[i].client < 0) {
            p->pair[i] = (proxied){fd, connect_to_server(), ""};
            if (p->pair[i].server < 0)
                drop(&p->pair[i]);
            return;
        }
    if (fd >= 0)
        close(fd);
}

/* connection_name, 'S', its length in four bytes, itself. */
static void learn_name(proxied *pair, const char *bytes, size_t n)
{
    const char *at = memmem(bytes, n, "connection_name", 15);
    if (!at || (size_t)(at + 20 - bytes) > n)
        return;
    size_t length = (unsigned char)at[19];
    if ((size_t)(at + 20 - bytes) + length <= n && length < sizeof pair->name)
        snprintf(pair->name, sizeof pair->name, "%.*s", (int)length, at + 20);
}

static void pass(proxied *pair, int from, int to_)
{
    char    bytes[65536];
    ssize_t n = recv(from, bytes, sizeof bytes, 0), done = 0;
    if (n > 0 && from == pair->client && !*pair->name)
        learn_name(pair, bytes, (size_t)n);
    while (done < n) {
        ssize_t sent = send(to_, bytes + done, (size_t)(n - done), MSG_NOSIGNAL);
        if (sent <= 0)
            break;
        done += sent;
    }
    if (n <= 0 || done < n)
        drop(pair);
}

static bool is_frozen(const proxy *p, const proxied *pair)
{
    return !strcmp(p->frozen, "*") || (*p->frozen && !strcmp(p->frozen, pair->name));
}

static int list(proxy *p, struct pollfd *fds)
{
    fds[0] = (struct pollfd){.fd = p->wake[0], .events = POLLIN};
    fds[1] = (struct pollfd){.fd = p->listener, .events = POLLIN};
    for (int i = 0; i < PROXY_MOST; i++) {
        bool on = p->pair[i].client >= 0 && !is_frozen(p, &p->pair[i]);
        fds[2 + 2 * i] = (struct pollfd){.fd = on ? p->pair[i].client : -1, .events = POLLIN};
        fds[3 + 2 * i] = (struct pollfd){.fd = on ? p->pair[i].server : -1, .events = POLLIN};
    }
    return 2 + 2 * PROXY_MOST;
}

static void serve(proxy *p, const struct pollfd *fds)
{
    char bytes[16];
    if (fds[0].revents)
        expect_op(recv(p->wake[0], bytes, sizeof bytes, 0), >, 0);
    if (fds[1].revents)
        take_in(p);
    for (int i = 0; i < PROXY_MOST; i++) {
        proxied *pair = &p->pair[i];
        if (pair->client >= 0 && fds[2 + 2 * i].revents && !is_frozen(p, pair))
            pass(pair, pair->client, pair->server);
        if (pair->client >= 0 && fds[3 + 2 * i].revents && !is_frozen(p, pair))
            pass(pair, pair->server, pair->client);
        if (pair->client >= 0 && p->hangs_up)
            drop(pair);
    }
    p->hangs_up = false;
}

/* The lock is held but while it polls, so that a freeze holds when it returns. */
static void turns(void *arg)
{
    proxy        *p = arg;
    struct pollfd fds[2 + 2 * PROXY_MOST];
    pthread_mutex_lock(&p->lock);
    while (!p->ends) {
        int n = list(p, fds);
        pthread_mutex_unlock(&p->lock);
        poll(fds, (nfds_t)n, -1);
        pthread_mutex_lock(&p->lock);
        serve(p, fds);
    }
    pthread_mutex_unlock(&p->lock);
}

void proxy_start(proxy *p)
{
    struct sockaddr_in at = loopback(0);
    socklen_t          size = sizeof at;
    *p = (proxy){.lock = PTHREAD_MUTEX_INITIALIZER};
    for (int i = 0; i < PROXY_MOST; i++)
        p->pair[i].client = p->pair[i].server = -1;
    p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    expect_eq(bind(p->listener, (struct sockaddr *)&at, sizeof at), 0);
    expect_eq(listen(p->listener, 16), 0);
    expect_eq(getsockname(p->listener, (struct sockaddr *)&at, &size), 0);
    expect_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p->wake), 0);
    snprintf(p->url, sizeof p->url, "amqp://127.0.0.1:%d", ntohs(at.sin_port));
    helper_start(&p->thread, turns, p);
}

static void wake(proxy *p) { expect_eq(send(p->wake[1], "w", 1, MSG_NOSIGNAL), 1); }

void proxy_freeze(proxy *p, const char *name)
{
    pthread_mutex_lock(&p->lock);
    snprintf(p->frozen, sizeof p->frozen, "%s", name);
    pthread_mutex_unlock(&p->lock);
    wake(p);
}

void proxy_hang_up(proxy *p)
{
    pthread_mutex_lock(&p->lock);
    p->hangs_up = true;
    pthread_mutex_unlock(&p->lock);
    wake(p);
}

void proxy_end(proxy *p)
{
    pthread_mutex_lock(&p->lock);
    p->ends = true;
    pthread_mutex_unlock(&p->lock);
    wake(p);
    helper_join(&p->thread);
    for (int i = 0; i < PROXY_MOST; i++)
        if (p->pair[i].client >= 0)
            drop(&p->pair[i]);
    close(p->listener);
    close(p->wake[0]);
    close(p->wake[1]);
}
