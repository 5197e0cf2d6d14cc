/* SPDX-License-Identifier: ISC
 *
 * request: a job on the serving side, from its arrival until its answer has arrived.
 *
 * One task of the served pool runs the handler. Whatever the handler says is kept in the
 * request; when the task is over, the request's route carries it: to the client of this
 * process, or to a server. run_within gives the request up: from then on it counts as
 * answered, so that what its thread says later is dropped.
 */
#ifndef WR_REQUEST_H
#define WR_REQUEST_H

#include "farm.h"

typedef enum {
    WR_SILENT = 0, /* it gave no answer, and there was no memory to say so in one */
    WR_REPLY,      /* answer */
    WR_RAISED,     /* answer, with an error's name and text */
    WR_RETRY,      /* run it again */
    WR_HUNG,       /* run_within has passed */
    WR_STOPPED,    /* cancelled before it ran */
    WR_EXPIRED,    /* not started by its deadline */
    WR_UNSERVED,   /* the pool closed or dropped it */
} wr_verdict;

typedef struct {
    /* On the worker, before the handler; false: it is to be given back. */
    bool (*begins)(weir_request *r);
    void (*over)(weir_request *r, wr_verdict verdict); /* then it owes wr_request_end */
    void (*free)(weir_request *r);
} wr_route;

/* What has a handler run: the served pool, or a loop. */
struct wr_runner {
    int (*run)(weir_request *r, weir_main *deliver_to); /* as wr_request_run */
    void (*stop)(weir_request *r);                      /* asks its handler to stop; once */
    bool (*abandon)(weir_request *r);     /* gives it up; whether a reference is given back later */
    bool (*stops)(const weir_request *r); /* whether its handler was asked */
};

struct weir_request {
    /* Constant once it was taken. */
    weir_task         task;
    const wr_route   *route;
    const wr_handler *handler;
    weir_remote      *farm; /* a reference, the one that serves */
    const char       *id, *content_type;
    const void       *bytes;
    size_t            size;
    unsigned          attempt;
    weir_priority     level;
    int64_t           start_within; /* 0: no deadline */
    int64_t           taken;        /* when */
    _Atomic unsigned  refs;
    /* Guarded by the farm's lock. */
    wr_node    in;   /* on requests of the farm */
    wr_node    link; /* on stuck of debts */
    wr_alarm   alarm;
    bool       answered, abandoned;
    wr_verdict verdict; /* if answered */
    wr_answer *answer;
    /* Who makes stop true puts asked on asked of its debts. */
    _Atomic bool stop;
    wr_node      asked;
    struct {
        weir_notice arrives, tells, asks; /* at the loop; over; stop it */
        weir_main  *back_to;
        int64_t     start_by; /* 0: no deadline */
        bool        held;     /* guarded by the farm's lock */
        bool        begun;    /* of who has the request */
        void       *data;     /* the program's */
    } loop;                   /* of a request that a loop is given, see loop.c */
};

/* Counts r, whose constant fields are set but for task, refs and farm. r has one
 * reference, which wr_request_end gives back. Returns 0, WEIR_ECLOSED or WEIR_ENOMEM. */
int wr_request_take(weir_request *r, weir_remote *farm);
/* Runs it. deliver_to: where over is called; NULL: on a worker, or inside this call. After an
 * error, of weir_run_with, over is not called. */
int  wr_request_run(weir_request *r, weir_main *deliver_to);
void wr_request_end(weir_request *r);
void wr_request_ref(weir_request *r);
void wr_request_unref(weir_request *r);
/* Asks r's handler to stop, when the debts are paid. Any farm's lock may be held. */
void wr_request_stop(weir_request *r, wr_debts *debts);
/* run_within begins; 0: it ends. */
void wr_request_limit(weir_request *r, int64_t within);
/* The farm whose handler the calling thread is in, or NULL. */
weir_remote *wr_request_here(void);
/* A loop's handler begins, or ends; the farm of before. */
weir_remote *wr_request_enter(weir_remote *farm);

extern const wr_runner wr_on_pool;

#endif
