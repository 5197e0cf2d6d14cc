/* SPDX-License-Identifier: ISC
 *
 * io: the threads that speak with a server, one per connection.
 *
 * Each is a task of the farm's pool that ends with the farm. It owns a main, by which others
 * wake it, and while it is connected a wire. It turns: dispatch the main, send what is to be
 * sent, take what has come, sleep until there is more. When the wire fails, it waits, longer
 * each time, and connects again. Three kinds differ in what they send and take:
 *
 *   CLIENT    publishes jobs, takes confirms and replies; connects for the first job
 *   TAKER     takes jobs, cancels and dead letters, acknowledges them
 *   ANSWERER  publishes replies, takes confirms. It is apart from the taker, because a server
 *             that is short of memory takes no bytes from a connection that publishes
 */
#ifndef WR_IO_H
#define WR_IO_H

#include "farm.h"
#include "fork.h"
#include "wire.h"

typedef struct {
    const char *name; /* in events, and for the server */
    /* Whether it needs a connection; the farm's lock is held. */
    bool (*wants_locked)(wr_io *io);
    /* Whether it may end, given that the farm is over; the lock is held. */
    bool (*may_end_locked)(wr_io *io);
    /* These return 0, or -1: the wire is of no more use. */
    int (*connected)(wr_io *io);
    int (*send)(wr_io *io); /* what there is; sets io->more if there is more */
    int (*take)(wr_io *io, const wr_event *event);
    void (*lost)(wr_io *io); /* the wire is closed */
    /* NULL: nothing to do. */
    void (*no_use)(wr_io *io); /* an attempt to connect failed */
    void (*ends)(wr_io *io);   /* the thread ends */
} wr_kind;

struct wr_io {
    weir_task      task;
    weir_remote   *farm;
    const wr_kind *kind;
    enum wr_which  which;
    /* Its own thread's. */
    weir_main *main;
    wr_wire   *wire; /* NULL: not connected */
    wr_socket  socket;
    uint64_t   generation; /* counts connections: a delivery's tag is good for one */
    int64_t    wait, retry_at;
    int64_t    looked; /* when the wire was last asked for what has come */
    bool       readable, blocked, more, broken;
    /* Guarded by the farm's lock. */
    int  opened; /* 1: its main is not open yet; 0; or an error */
    bool cut;    /* its socket was shut down, so that a write ends */
    int  fd;     /* of the wire; -1: none */
    /* Of the kinds, its own thread's. */
    wr_node  ready, unconfirmed; /* requests of the answerer */
    uint64_t ack;                /* the client's: the last reply, not yet acknowledged */
    bool     gone;               /* the client's: the reply queue was found gone, and no more yet */
    bool     stopped;            /* the taker's: it consumes no more */
};

/* Allocates farm->io[which] and starts it; waits until its main is open. */
int wr_io_start(weir_remote *farm, enum wr_which which, const wr_kind *kind);
/* Under the lock: ends a write that does not end. */
void wr_io_cut_locked(weir_remote *farm);
/* The memory of all, when they have ended. */
void wr_io_free(weir_remote *farm);

/* Starts the thread of the client's connection, which connects for the first job. */
int wr_client_start(weir_remote *farm);
/* Starts the two of the worker. */
int wr_worker_start(weir_remote *farm);

#endif
