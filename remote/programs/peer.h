/* SPDX-License-Identifier: ISC
 *
 * peer: what the programs that read queues share.
 */
#ifndef WR_PEER_H
#define WR_PEER_H

#include "options.h"
#include "wire.h"

typedef struct {
    weir_remote_options options;
    wr_url              url;
    wr_wire            *wire;
} wr_peer;

/* Prints it: 0 if argv asks for it (-h, --help), else on stderr and 2. */
int wr_peer_usage(char **argv, const char *usage);
/* Connects, or ends the program with the reason. what: its name for the server. */
void wr_peer_open(wr_peer *peer, const char *url, const char *credentials_file, const char *what);
void wr_peer_close(wr_peer *peer);
/* Waits for the next event, at most for some seconds: WR_NOTHING then. */
void wr_peer_next(wr_peer *peer, wr_event *event);
/* Ends the program: what the wire says is wrong. */
_Noreturn void wr_peer_fail(wr_peer *peer);

#endif
