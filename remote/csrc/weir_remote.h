/* SPDX-License-Identifier: ISC
 *
 * weir_remote.h: named jobs that workers of this or another machine run.
 *
 *   FARM     where jobs of one URL go: a server (amqp://, amqps://) or this process (local:).
 *   JOB      one weir_remote_run: a name, bytes, and a done that comes back once.
 *   HANDLER  what a serving program registers for a name.
 *   REQUEST  a job as its handler sees it.
 *
 * At least once: a job may run more than once, because its worker or its server can be lost
 * after it ran and before that was known. Its id stays the same, and a handler must be
 * right when it runs twice with one id. The first answer to an id wins.
 *
 * Functions that return int return 0 or a WEIR_E code; after an error
 * weir_remote_error() has the sentence. Results come through `out`, which is untouched on
 * failure. Times are in nanoseconds. No function may be called in a signal handler.
 * A sentence never contains a password.
 */
#ifndef WEIR_REMOTE_H
#define WEIR_REMOTE_H

#include "weir.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weir_remote  weir_remote;
typedef struct weir_request weir_request;
typedef struct weir_job     weir_job;

/* Outcomes beside those of weir.h. Positive, so that no later code of weir.h meets them. */
enum {
    WEIR_REMOTE_ELOST = 1, /* nobody can know whether the job ran, or its workers died of it */
    WEIR_REMOTE_ERAISED,   /* the handler failed: error_name and error_text say how */
    WEIR_REMOTE_ENAME      /* nobody has registered the job's name */
};

/* Zero-fill it, then set size, url and what differs from the default: zero is every default.
 * Strings are copied. */
typedef struct {
    size_t size; /* sizeof(weir_remote_options) */
    /* amqp://[user[:password]@]host[:port][/vhost], amqps://..., local: or local:NAME. All
     * that open or serve one local:NAME in a process meet; each local: is its own. */
    const char      *url;
    const char      *credentials_file; /* its first line is user:password; wins over the URL */
    const char      *ca_file;          /* amqps: whom to trust; NULL: the system's list */
    unsigned         queue_limit;      /* most jobs in flight; 0: no limit */
    weir_full_policy when_full;        /* not WEIR_CALLER_RUNS. DROP_OLDEST drops a job that is
                                          not published yet; it settles as WEIR_EFULL */
    size_t  message_limit;             /* most bytes of an argument or result; 0: 16 MiB */
    int64_t give_up_ns;                /* so long without a server: jobs in flight settle as
                                          WEIR_REMOTE_ELOST; 0: 60 s */
    int64_t heartbeat_ns;              /* whole seconds; 0: 10 s */
    int64_t reconnect_min_ns;    /* the first wait before a reconnect; it doubles; 0: 100 ms */
    int64_t reconnect_max_ns;    /* the longest; 0: 5 s */
    int64_t reply_life_ns;       /* a client's reply queue outlives it by this; 0: 60 s */
    int64_t connect_within_ns;   /* to connect and log in; 0: 10 s */
    int64_t consumer_timeout_ns; /* the server's consumer_timeout, which no client can ask
                                    for; 0: 30 min, the server's default */
    /* Tells of what no call returns: a connection lost or made again, a queue that is not
     * there, a message that was refused. code: 0 or a WEIR_E code. On a thread of the farm,
     * and in weir_remote_serve; it must not block. sentence lasts until it returns. */
    void (*on_event)(void *arg, int code, const char *sentence);
    void *arg; /* passed to on_event */
} weir_remote_options;

/* Opens a farm. It does not wait for the server: jobs that are run meanwhile wait for it.
 * Returns 0 and *out, or
 *   WEIR_EINVAL  an option is out of its range, or the URL has another form
 *   WEIR_ENOTSUP the scheme is unknown, or this build has no TLS for amqps
 *   WEIR_ENOMEM, WEIR_EAGAIN, WEIR_EMFILE
 * Any thread. Partner: weir_remote_close. */
WEIR_API int weir_remote_open(weir_remote **out, const weir_remote_options *options);

/* Every option as it holds, defaults filled in; options->size says how much. Strings live
 * as long as the farm; the url's password reads "***". Returns 0 or WEIR_EINVAL. Any
 * thread. */
WEIR_API int weir_remote_get_options(const weir_remote *farm, weir_remote_options *options);

enum { WEIR_REMOTE_DRAIN = 0, WEIR_REMOTE_CANCEL = 1 };

/* Refuses further jobs and requests at once. DRAIN waits for the outcomes of jobs in flight
 * and for the handlers that have begun. CANCEL settles jobs in flight as WEIR_ECLOSED and
 * asks handlers to stop; a later call may turn a DRAIN into a CANCEL. What a server handed
 * over and no handler has begun is given back to it, which counts as an attempt; but a DRAIN
 * with jobs of its own in flight runs that as well. main: one of the
 * caller's own, which is dispatched meanwhile; NULL: none. A done that has not run when this
 * returns comes through its main all the same. Returns 0 and frees the farm, or
 *   WEIR_ETIMEDOUT  the timeout passed; the farm goes on closing: call it again
 *   WEIR_EDEADLK    inside a handler or a done of this farm
 *   WEIR_EPERM      main is another thread's
 *   WEIR_EBUSY      an earlier call, which timed out, named another main
 *   WEIR_EINVAL, WEIR_ECLOSED (main is closed), WEIR_EFORKED (the farm is the parent's)
 * Any thread. NULL is allowed. */
WEIR_API int weir_remote_close(weir_remote *farm, unsigned how, weir_main *main,
                               int64_t timeout_ns);

/* At deployment: declares what workers of these jobs need at a server: for each name the
 * quorum queues weir.NAME, weir.NAME.high and weir.NAME.low; weir.dead, weir.dead.kept, and
 * the exchange weir.cancel. What is there already stays. A queue that is younger than some
 * seconds may lose what it has when its server is killed, so do this before jobs are run.
 * Limits are a policy of the server: weir-remote-setup prints it. Connects, and blocks
 * meanwhile. Returns 0, or
 *   WEIR_REMOTE_ELOST  no connection, or the server refuses: a queue is there in another form
 *   WEIR_EINVAL, WEIR_ENOTSUP (local: needs none), WEIR_ENOMEM
 * Any thread but that of a loop. */
WEIR_API int weir_remote_declare(const weir_remote_options *options, const char *const *names,
                                 size_t n);

typedef struct {
    size_t size; /* sizeof(weir_remote_stats) */
    /* Now. */
    bool connected;   /* a client's connection, which is made for its first job; both of a worker;
                         false for local: */
    size_t in_flight; /* jobs without an outcome */
    size_t waiting;   /* of these, not handed to the server */
    size_t requests;  /* taken and not finished */
    /* Since the farm opened. */
    uint64_t submitted, settled; /* jobs */
    uint64_t published, confirmed, republished;
    uint64_t duplicates; /* answers to an id that had its outcome */
    uint64_t refused;    /* messages that were not of the expected form */
    uint64_t served;     /* requests finished */
    uint64_t connects;   /* by all connections of the farm */
} weir_remote_stats;

/* One consistent snapshot. 0, WEIR_EINVAL or WEIR_EFORKED. Any thread. */
WEIR_API int weir_remote_get_stats(weir_remote *farm, weir_remote_stats *stats);

/* Writes the statistics of these farms in Prometheus' text format 0.0.4, to be sent behind the
 * text of weir_metrics. Labels: farm, its url without the password; number, its place in
 * farms. Returns the length as snprintf does: without the 0 byte, also of what did not fit. Or
 * WEIR_EINVAL, WEIR_EFORKED, WEIR_ENOMEM. Any thread. */
WEIR_API int weir_remote_metrics(weir_remote *const *farms, size_t n, char *buffer, size_t size);

/* From now on writes each job and each request of this process to `path` when it ends, in the
 * format that https://ui.perfetto.dev opens; NULL: no more, and the file is whole. A job is a
 * slice from its run to its done, a request one from its arrival to its end, and a flow leads
 * from the one to the other by the job's id. So that client and workers stand in one file, join
 * theirs: cat client.trace worker.trace > both.trace; the last file may be one of
 * weir_trace_file, or of a process that was killed, whose last entry the kill may have cut. The
 * latter lacks up to 16 KiB, and what had not ended. The files must be of one machine, because each
 * machine's clock has a zero of its own. Returns 0, WEIR_EBUSY (a trace is on), or WEIR_EINVAL (the
 * file cannot be written). Any thread. A child of fork writes nothing. */
WEIR_API int weir_remote_trace(const char *path);

/* The sentence of the calling thread's last failed call here: it names the job, the queue
 * and the server where there are any. Never NULL; it lasts until the thread's next call. */
WEIR_API const char *weir_remote_error(void);

/* ---- client ------------------------------------------------------------------- */

/* Zero-fill it, then set size. */
typedef struct {
    size_t        size;       /* sizeof(weir_job_options) */
    weir_main    *deliver_to; /* whose thread runs done; needed */
    weir_priority priority;
    /* Unless a worker is known to have started it by then, it settles as WEIR_EEXPIRED;
     * 0: no deadline. */
    int64_t     start_within_ns;
    int64_t     timeout_ns;     /* else it settles as WEIR_ETIMEDOUT; 0: none */
    const char *content_type;   /* copied; NULL: application/octet-stream */
    bool        only_if_wanted; /* not started once its client is known to be gone */
} weir_job_options;

#define WEIR_REMOTE_NAME_MAX 200

/* Embed it in a struct of your own. Zero-fill it except for done. The farm owns it from an
 * accepted weir_remote_run() until done begins; inside done it may be freed or run again.
 * What it points to is the job's until done returns. */
struct weir_job {
    void (*done)(weir_job *job);

    /* Valid inside done. */
    int         outcome; /* 0, a WEIR_E or a WEIR_REMOTE_E code */
    const void *result;  /* outcome 0 */
    size_t      result_size;
    const char *content_type;            /* of the result */
    const char *error_name, *error_text; /* an outcome that is not 0; names job and server */
    char        id[37];                  /* a UUID, set by an accepted run */

    /* Reserved for the library: zero-fill it, then leave it alone. */
    struct {
        void *farm, *of;
        void *spare[2];
    } weir;
};

/* Sends size bytes, copied, to a handler of name. done comes once, through
 * options->deliver_to, which the job holds as a task does. Returns 0, or
 *   WEIR_EINVAL  an argument is out of its range: a name is 1 to 200 of [A-Za-z0-9._-]
 *   WEIR_EFULL   see when_full, or the bytes exceed message_limit
 *   WEIR_EBUSY   the job is in flight
 *   WEIR_ECLOSED, WEIR_EFORKED, WEIR_ENOMEM
 * After an error the job is the caller's, untouched. Any thread; it blocks only with
 * WEIR_BLOCK on a full farm. Undo with weir_remote_cancel. */
WEIR_API int weir_remote_run(weir_remote *farm, weir_job *job, const char *name, const void *bytes,
                             size_t size, const weir_job_options *options);

/* Settles the job as WEIR_ECANCELED at once, and asks its worker to stop, which may come too
 * late: the job may have run, or may still run. One that no worker has yet runs when a worker
 * takes it, unless its timeout has passed. Returns 0, or WEIR_EINVAL if it is not in
 * flight or has its outcome. Any thread, while the job's memory and the farm live. */
WEIR_API int weir_remote_cancel(weir_job *job);

/* ---- worker ------------------------------------------------------------------- */

/* run: on a worker of the pool, with that thread's state. It answers by one of the three
 * functions below and returns 0. Returning without an answer, or another value, answers
 * WEIR_REMOTE_ERAISED. */
typedef struct {
    const char *name; /* copied */
    int (*run)(weir_request *request, void *state);
    /* A run that lasts longer is abandoned: its thread is replaced, the job is given back as by
     * weir_request_retry, and what run answers later is dropped. With local: the job
     * settles as WEIR_ETIMEDOUT. 0: no limit. */
    int64_t run_within_ns;
} weir_handler;

/* From now on jobs of these names run on pool, once per farm. A server hands over at most
 * the pool's threads + 1 of each queue ahead. Returns 0, or
 *   WEIR_EINVAL  a name is bad or stands twice, or pool has a queue_limit, which only local:
 *                allows, and only with the policy WEIR_REFUSE
 *   WEIR_EBUSY   this farm serves already, or another farm of the same local:NAME serves
 *                one of the names
 *   WEIR_ECLOSED, WEIR_EFORKED, WEIR_ENOMEM, WEIR_EAGAIN, WEIR_EMFILE
 * Any thread. pool must stay open until the farm is closed; partner: weir_remote_close. */
WEIR_API int weir_remote_serve(weir_remote *farm, weir_pool *pool, const weir_handler *handlers,
                               size_t n);

/* ---- a worker whose handlers belong to a loop --------------------------------- */

/* Zero-fill it, then set size, deliver_to and at_once. */
typedef struct {
    size_t     size;       /* sizeof(weir_loop_options) */
    weir_main *deliver_to; /* on whose thread run and stop are called; needed */
    unsigned   at_once;    /* a server hands over at most so many of each queue, 1 to 65535; the
                              requests of a local: farm come as they are run */
    void *arg;             /* passed to run, in place of a thread's state, and to stop */
    /* The request is not wanted any more: its client has cancelled it or does not wait for it,
     * run_within has passed, or the farm closes by cancel. Once at most, inside a dispatch, and
     * not after a release that this thread made; who releases on another thread guards what
     * stop looks for. NULL: weir_request_cancelled says so too. */
    void (*stop)(weir_request *request, void *arg);
    /* run only takes the request, which then waits for a thread of the program's. That thread
     * calls weir_request_begin first. false: a request begins when run is called. */
    bool begins_later;
} weir_loop_options;

/* As weir_remote_serve, for a program that hands requests on itself: run is called inside the
 * dispatch of deliver_to and must not block. From a run that returns 0 on, the request is the
 * program's until it calls weir_request_release; meanwhile any thread may use it, one at a
 * time. Another value than 0 answers WEIR_REMOTE_ERAISED, and the request is gone.
 *
 * deliver_to is pending for what has come and not for what may come: a loop that ends when
 * nothing is pending is held by the program, as long as it serves. While the loop stands still
 * its requests wait; heartbeats go on. A start deadline ends, and run_within counts until the
 * answer, from when the request begins.
 *
 * Returns 0, or as weir_remote_serve. Any thread. deliver_to must stay open until the farm is
 * closed: weir_remote_close with that main, or with none on another thread. */
WEIR_API int weir_remote_serve_loop(weir_remote *farm, const weir_loop_options *options,
                                    const weir_handler *handlers, size_t n);

/* With begins_later, on the thread that is about to run the handler: tells a client that has a
 * start deadline, and run_within counts from here. Returns 0, or why the handler is not to run;
 * what the request ends as is then decided, and the program only releases it:
 *   WEIR_ECANCELED its client does not want it any more, or the farm closes by cancel
 *   WEIR_EEXPIRED  its start deadline has passed
 *   WEIR_ECLOSED   the farm closes, and gives it back
 *   WEIR_EBUSY     it has begun, or it has its answer
 * Any thread that may use the request; never blocks. A request that was not begun may be answered
 * all the same. */
WEIR_API int weir_request_begin(weir_request *request);

/* Ends the program's hold of a request that a loop was given, and sends its answer. Without an
 * answer that is WEIR_REMOTE_ERAISED. The request is gone. Any thread; never blocks. */
WEIR_API void weir_request_release(weir_request *request);

/* A pointer of the program's, NULL at first: what stop looks for. Any thread that may use the
 * request. */
WEIR_API void  weir_request_set_data(weir_request *request, void *data);
WEIR_API void *weir_request_data(const weir_request *request);

/* ---- requests ------------------------------------------------------------------ */

/* What the client sent. Inside run, on its thread, or until the release; the memory is the
 * request's. */
WEIR_API const void   *weir_request_bytes(const weir_request *request, size_t *size);
WEIR_API const char   *weir_request_content_type(const weir_request *request);
WEIR_API const char   *weir_request_name(const weir_request *request);
WEIR_API const char   *weir_request_id(const weir_request *request);
WEIR_API weir_priority weir_request_priority(const weir_request *request);
/* 1 at the first delivery, one more at each that follows. */
WEIR_API unsigned weir_request_attempt(const weir_request *request);
/* Whether the job was cancelled or its worker winds down: run polls it. Any thread, inside run
 * or until the release. */
WEIR_API bool weir_request_cancelled(const weir_request *request);

/* Each answers the request, once: with a result (copied); with an error (copied); or by
 * giving it back to run again at once, which counts as an attempt: after as many as the queue's
 * delivery-limit allows the job ends as WEIR_REMOTE_ELOST. content_type NULL:
 * application/octet-stream. Returns 0, WEIR_EBUSY (answered already, or abandoned),
 * WEIR_EFULL (more than message_limit; still unanswered), WEIR_ENOMEM, WEIR_EINVAL. Inside
 * run, on its thread, or until the release. */
WEIR_API int weir_request_reply(weir_request *request, const void *bytes, size_t size);
WEIR_API int weir_request_reply_as(weir_request *request, const char *content_type,
                                   const void *bytes, size_t size);
WEIR_API int weir_request_fail(weir_request *request, const char *name, const char *text);
WEIR_API int weir_request_retry(weir_request *request);

#ifdef __cplusplus
}
#endif
#endif
