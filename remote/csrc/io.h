/* SPDX-License-Identifier: ISC
 *
 * io: the threads that speak with a server, one per connection.
 *
 * Each is a task of the farm's pool that ends with the farm. It owns a main, by which others
 * wake it, and while it is connected a wire. It turns: dispatch the main, take what has come,
 * send what is to be sent, sleep until there is more. When the wire fails, it waits, longer
 * each time, and connects again.
 *
 * A thread that brings something to send need not wake the I/O thread, which would cost more
 * than the sending: if `up`, and if nobody else has the wire, it sends by itself what there is
 * and what the socket takes (wr_io_send). It wakes the I/O thread for the rest. If somebody else
 * has the wire, it sets `asked`; whoever has had the wire looks at that after the unlock, the
 * I/O thread before it sleeps, and sends once more. Over TLS a write may wait, so only the
 * I/O thread writes.
 *
 * The order of locks is: that of a wire, then the farm's. Nobody has two wires.
 *
 * Three kinds differ in what they send and take:
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
    /* These return 0, or -1: the wire is of no more use. send and send_now have its lock. */
    int (*connected)(wr_io *io);
    int (*send)(wr_io *io);     /* what there is; sets io->more if there is more */
    int (*send_now)(wr_io *io); /* the same by any thread, without waiting */
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
    wr_socket  socket;
    int64_t    wait, retry_at;
    int64_t    looked; /* when the wire was last asked for what has come */
    bool       readable;
    /* Written by its own thread under wire_lock; others read them there while `up` holds, until
     * when all of the wire is its own thread's. */
    pthread_mutex_t wire_lock;
    wr_wire        *wire;       /* NULL: not connected */
    uint64_t        generation; /* counts connections: a delivery's tag is good for one */
    bool            up, blocked;
    _Atomic bool    asked; /* who looks clears it first, under wire_lock */
    /* Guarded by wire_lock. */
    bool    more; /* to send */
    bool    broken;
    wr_node ready, unconfirmed; /* requests of the answerer */
    /* Guarded by the farm's lock. */
    int  opened;           /* 1: its main is not open yet; 0; or an error */
    char why[WR_SENTENCE]; /* it has no connection; empty: it has one, or has tried none */
    bool cut;              /* its socket was shut down, so that a write ends */
    int  fd;               /* of the wire; -1: none */
    /* Of the kinds, its own thread's. */
    uint64_t ack;     /* the client's: the last reply, not yet acknowledged */
    bool     gone;    /* the client's: the reply queue was found gone, and no more yet */
    bool     stopped; /* the taker's: it consumes no more */
};

/* Allocates farm->io[which] and starts it; waits until its main is open. */
int wr_io_start(weir_remote *farm, enum wr_which which, const wr_kind *kind);
/* Has sent what there is to send, at once or by its thread; never waits. A reference to the farm
 * is held. */
void wr_io_send(wr_io *io);
/* The same by a thread that has wire_lock, which it gives back. */
void wr_io_send_unlocks(wr_io *io);
/* Under the lock: ends a write that does not end. */
void wr_io_cut_locked(weir_remote *farm);
/* The memory of all, when nobody holds the farm any more. */
void wr_io_free(weir_remote *farm);

/* Starts the thread of the client's connection, which connects for the first job. */
int wr_client_start(weir_remote *farm);
/* Starts the two of the worker. */
int wr_worker_start(weir_remote *farm);

#endif
