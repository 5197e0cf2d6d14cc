/* SPDX-License-Identifier: ISC
 *
 * peer.h: what the driver asks of a thread pool. Each peer is one file in C or
 * C++, linked with the driver into a program of its own.
 *
 * A loop is an event loop with its completions; each producer thread has one
 * and submits to the one pool of the process. Peers abort when they are refused
 * something: a figure without its threads would be a lie.
 */
#ifndef PEER_H
#define PEER_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The caller's struct for one task begins with this. */
struct job {
    void (*run)(struct job *);  /* on a worker */
    void (*done)(struct job *); /* on its loop's thread */
    void *owner;
};

struct loop;

extern const size_t job_size; /* of the caller's whole struct */

void pool_open(unsigned threads);
void pool_close(void);

/* On the thread that will turn it. With `pollable` false the loop watches no
 * descriptor: its thread does nothing but wait for completions. NULL: this peer
 * has no such wait. */
struct loop *loop_open(bool pollable);
void         loop_close(struct loop *l);

void submit(struct loop *l, struct job *j);
/* Sleeps until a completion is there, then delivers what there is. */
void turn(struct loop *l);
/* On a worker: fn(arg) on the loop's thread; returns when it has returned. */
void run_in_main(struct loop *l, void (*fn)(void *), void *arg);

#define MUST(what) ((what) ? (void)0 : must_failed(#what))
__attribute__((noreturn)) void must_failed(const char *what);

#ifdef __cplusplus
}
#endif
#endif
