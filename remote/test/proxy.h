/* SPDX-License-Identifier: ISC
 *
 * proxy.h: forwards connections of loopback to the run's server, and stops passing bytes when
 * told, as a network does that is cut.
 */
#ifndef REMOTE_PROXY_H
#define REMOTE_PROXY_H

#include "server.h"

enum { PROXY_MOST = 16 };

typedef struct {
    int  client, server; /* -1: none */
    char name[64];       /* what the connection says of itself: "client", "worker", ... */
} proxied;

typedef struct {
    helper          thread;
    int             listener, wake[2];
    char            url[64];
    pthread_mutex_t lock;
    /* Guarded by lock. */
    bool    ends, hangs_up;
    char    frozen[64]; /* connections of this name pass nothing; "*": all; "": none */
    proxied pair[PROXY_MOST];
} proxy;

void proxy_start(proxy *p);
void proxy_freeze(proxy *p, const char *name); /* when it returns, no byte passes any more */
void proxy_hang_up(proxy *p); /* closes all connections; new ones are frozen as set */
void proxy_end(proxy *p);

#endif
