/* SPDX-License-Identifier: ISC
 *
 * rig.h: what the tests of farms are made of: a farm, a main, jobs that say what came.
 */
#ifndef REMOTE_RIG_H
#define REMOTE_RIG_H

#include "harness.h"
#include "weir_remote.h"

weir_remote_options options_of(const char *url);
weir_job_options    to(weir_main *m); /* options that deliver to m */

/* A job that says what happened to it. */
typedef struct {
    weir_job job;
    int      dones, outcome;
    size_t   size;
    char     result[64], type[64], error[64], text[512];
} errand;

void errand_done(weir_job *job);
#define ERRAND                                                                                     \
    {                                                                                              \
        .job = {.done = errand_done }                                                              \
    }

/* An accepted run of name with text. */
void submit(weir_remote *farm, errand *e, weir_main *m, const char *name, const char *text);
/* Dispatches until the errand's done has run; its outcome. */
int outcome_of(weir_main *m, errand *e);
/* Whether it is 0; false: it says that something was refused, and a fault was injected. */
bool came(int outcome);
/* The two in one. */
int ask(weir_remote *farm, errand *e, weir_main *m, const char *name, const char *text);

/* ---- one farm of this process that serves itself ------------------------------------- */

typedef struct {
    weir_remote *farm;
    weir_pool   *pool;
    weir_main   *m;
} yard;

/* All of these handlers, on one thread. false: refused, with what there is to yard_close. */
bool yard_open(yard *y, const weir_remote_options *options, const weir_handler *handlers, size_t n);
void yard_close(yard *y);

/* Handlers: bytes come back; an error "Oops"; no answer; answers once `leave` is open. */
int         echo(weir_request *r, void *state);
int         raises(weir_request *r, void *state);
int         silent(weir_request *r, void *state);
int         holds(weir_request *r, void *state);
extern gate entered, leave; /* of holds; each test shuts them */

bool has(const char *text, const char *part);

#endif
