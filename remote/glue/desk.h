/* SPDX-License-Identifier: ISC
 *
 * desk: what the bindings share: a main, and what has come to it, as a list that the binding
 * takes from when no frame of weir's is below it.
 *
 * Nothing of a binding's runs under the core's frames, because a foreign exception must not
 * cross them. So each callback of weir_remote.h appends an item here, with copies of what is
 * valid in the callback alone, and the binding takes the items in order.
 *
 * A desk belongs to the thread that opened it. Any thread may call wb_run, wb_id, wb_cancel,
 * wb_unref, wb_nudge and wb_on_event.
 */
#ifndef WB_DESK_H
#define WB_DESK_H

#include "held.h"

typedef struct wb_desk wb_desk;
typedef struct wb_job  wb_job;

/* Who hears of a farm's events: the number that their items have. */
typedef struct {
    wb_desk  *desk;
    uintptr_t number;
} wb_listener;

enum wb_kind {
    WB_ANSWER,  /* job has its outcome */
    WB_REQUEST, /* request is the binding's until wb_release; who runs it calls wb_begin */
    WB_STOP,    /* the request of that number is not wanted any more */
    WB_EVENT,   /* of weir_remote_options.on_event: outcome is its code */
};

typedef struct wb_item {
    struct wb_item *next;
    enum wb_kind    kind;
    uintptr_t       number; /* of the job, as wb_run was given; of the request, see held.h; of the
                               listener */
    /* Of an answer: copies, NULL where there is nothing. error_text also of an event. */
    int    outcome;
    size_t size;
    char  *type, *bytes, *error_name, *error_text;
    /* Of a request. */
    weir_request *request;
} wb_item;

/* Returns 0 or what weir_main_open returned. Partner: wb_close. */
int wb_open(wb_desk **out);
/* Drops what was not taken. Nothing may be pending: farms that use it are closed. */
void wb_close(wb_desk *desk);

weir_main *wb_main(wb_desk *desk);
/* Whether an answer is still to come or to be taken. */
bool wb_pending(const wb_desk *desk);

/* As weir_remote_run, with deliver_to the desk's. The answer has the number, and may be taken
 * before this returns. *out, on success, is the caller's reference to the job. */
int wb_run(wb_desk *desk, weir_remote *farm, uintptr_t number, wb_job **out, const char *name,
           const void *bytes, size_t size, const weir_job_options *options);
const char *wb_id(const wb_job *job);
/* As weir_remote_cancel; WEIR_EINVAL also when the answer has come. Any thread. */
int wb_cancel(wb_job *job);
/* Any thread. NULL is allowed. */
void wb_unref(wb_job *job);

/* As weir_remote_serve_loop: requests come to the desk, at most at_once of each queue. */
int wb_serve(wb_desk *desk, weir_remote *farm, const char *const *names,
             const int64_t *run_within_ns, size_t n, unsigned at_once);

/* The text of weir_remote_metrics, malloc'ed; NULL: weir_remote_error says why. Partner: free. */
char *wb_metrics(weir_remote *const *farms, size_t n);

/* The on_event of a farm whose arg is a listener, which stays until the farm is closed. */
void wb_on_event(void *listener, int code, const char *sentence);

/* Makes what has come items, without waiting. */
void wb_turn(wb_desk *desk);
/* Waits until something comes or until wb_nudge; then as wb_turn. */
void wb_wait(wb_desk *desk);
void wb_nudge(wb_desk *desk);
/* The first item, which is the caller's; NULL: there is none. Partner: wb_item_free. */
wb_item *wb_take(wb_desk *desk);
void     wb_item_free(wb_item *item); /* NULL is allowed */

#endif
