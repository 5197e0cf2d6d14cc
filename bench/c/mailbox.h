/* SPDX-License-Identifier: ISC
 *
 * mailbox.h: the way back to a loop, for peers whose pool has none. mailbox.c
 * is their loop; they add pool_open, pool_close and enqueue.
 */
#ifndef MAILBOX_H
#define MAILBOX_H

#include "peer.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The caller's struct for one task. */
struct mail {
    struct job   job;
    struct mail *next;
    struct loop *loop;
};

/* The peer's: makes its pool call serve(m) on a worker. */
void enqueue(struct mail *m);

/* On a worker: runs the job and posts it to its loop. */
void serve(struct mail *m);

#ifdef __cplusplus
}
#endif
#endif
