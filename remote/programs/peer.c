/* SPDX-License-Identifier: ISC
 *
 * peer: one connection of a program that needs no loop.
 */
#include "peer.h"

#include "weir_remote.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATIENCE_MS = 5000 };

int wr_peer_usage(char **argv, const char *usage)
{
    bool asked = argv[1] && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"));
    fputs(usage, asked ? stdout : stderr);
    return asked ? 0 : 2;
}

void wr_peer_fail(wr_peer *peer)
{
    fprintf(stderr, "%s: %s\n", peer->url.shown, wr_wire_why(peer->wire));
    exit(1);
}

void wr_peer_open(wr_peer *peer, const char *url, const char *credentials_file, const char *what)
{
    char                why[300];
    weir_remote_options in = {.size = sizeof in, .url = url};
    *peer = (wr_peer){0};
    in.credentials_file = credentials_file;
    if (wr_options_read(&peer->options, &peer->url, &in) != 0) {
        fprintf(stderr, "%s\n", weir_remote_error());
        exit(2);
    }
    if (peer->url.local) {
        fprintf(stderr, "%s has no server\n", peer->url.shown);
        exit(2);
    }
    if (wr_wire_open(&peer->wire, &peer->url, &peer->options, what, why, sizeof why) != 0) {
        fprintf(stderr, "%s: %s\n", peer->url.shown, why);
        exit(1);
    }
}

void wr_peer_close(wr_peer *peer)
{
    wr_wire_close(peer->wire, true);
    wr_options_clear(&peer->options);
    wr_url_clear(&peer->url);
}

void wr_peer_next(wr_peer *peer, wr_event *event)
{
    struct pollfd p = {.fd = wr_wire_fd(peer->wire), .events = POLLIN};
    int64_t       until = weir_now() + PATIENCE_MS * INT64_C(1000000);
    for (;;) {
        if (wr_wire_next(peer->wire, event) != 0)
            wr_peer_fail(peer);
        int64_t left = (until - weir_now()) / 1000000;
        if (event->kind != WR_NOTHING || left <= 0)
            return;
        poll(&p, 1, (int)left + 1);
    }
}
