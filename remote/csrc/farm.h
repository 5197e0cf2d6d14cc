/* SPDX-License-Identifier: ISC
 *
 * farm: a farm, its jobs in flight, and what is owed after its lock.
 *
 * A FLIGHT is a job from its accepted run until its done has returned:
 *
 *   RESERVED   counted, but its main does not expect it yet
 *   WAITING    on waiting[level], not handed over
 *   SENT       on sent, in the order of publishing, until the server confirms it; a local
 *              job until it settles
 *   CONFIRMED  the server has it
 *   SETTLED    has its outcome; its notice comes or has come to its main
 *
 * WAITING -> SENT -> CONFIRMED, each of them -> SETTLED, and SENT -> WAITING when the
 * connection is lost, because nobody knows whether the server has it. CONFIRMED -> WAITING
 * when the reply queue is found gone too soon to have expired: its server has lost it. An answer, a
 * timeout, a cancel, the lack of a server and a close all settle by wr_settle_locked, under the
 * lock. The first one wins; the others find SETTLED and drop what they have.
 *
 * Nothing of weir's and nothing of the user's is called under the lock. A locked section
 * notes in its wr_debts what is due, and wr_pay does it after the unlock.
 */
#ifndef WR_FARM_H
#define WR_FARM_H

#include "alarms.h"
#include "answer.h"
#include "bell.h"
#include "ids.h"
#include "list.h"
#include "say.h"
#include "url.h"
#include "weir_remote.h"

#include <pthread.h>
#include <stdatomic.h>

enum wr_state { WR_RESERVED = 0, WR_WAITING, WR_SENT, WR_CONFIRMED, WR_SETTLED };
enum wr_phase { WR_OPEN = 0, WR_DRAINING, WR_CANCELLING };

typedef struct wr_hub    wr_hub;
typedef struct wr_runner wr_runner; /* see request.h */
typedef struct wr_io     wr_io;     /* an I/O thread, see io.h */
enum wr_which { WR_CLIENT = 0, WR_TAKER, WR_ANSWERER, WR_IOS };

typedef struct wr_flight {
    /* Constant after the run. */
    weir_remote     *farm;
    weir_job        *job;
    weir_notice      back;
    weir_priority    level;
    int64_t          submitted, start_by, deadline; /* start_by, deadline: 0 for none */
    bool             only_if_wanted;
    const char      *name, *content_type;
    const void      *bytes;
    size_t           size;
    _Atomic unsigned refs;
    /* Guarded by the farm's lock. */
    enum wr_state state;
    wr_known      known;    /* by its id, in ids unless SETTLED */
    wr_node       in;       /* on flights unless SETTLED */
    wr_node       link;     /* on waiting, on sent, or on settled of debts */
    wr_node       unwanted; /* on unwanted of the farm, which has a reference then */
    wr_alarm      alarm;
    uint64_t      tag; /* the number of its publishing, while SENT to a server */
    bool          published, started;
    weir_request *request; /* local: what runs it, not counted as a reference */
    /* Set when it settles, constant afterwards. */
    int        outcome;
    wr_answer *answer;
    char       text[WR_SENTENCE]; /* if the handler gave none */
} wr_flight;

typedef struct {
    char *name;
    int (*run)(weir_request *request, void *state);
    int64_t      run_within;
    weir_remote *farm;
} wr_handler;

struct weir_remote {
    /* Constant after the open. */
    weir_remote_options options; /* its strings are the farm's */
    wr_url              url;
    unsigned            forks;
    weir_pool          *pool; /* of the I/O threads and the clock */
    wr_hub             *hub;  /* local: where its name leads; else NULL */
    char                reply_queue[WR_ID + 12];
    _Atomic unsigned    refs;
    void (*destroy)(weir_remote *farm); /* when the last reference is gone */
    wr_io *io[WR_IOS]; /* those of the worker are set by serve, before they start */

    pthread_mutex_t lock;
    pthread_cond_t  changed;
    wr_bell         bells[WR_IOS]; /* of the I/O threads */
    /* Guarded by lock. */
    enum wr_phase phase;
    size_t        n_flights, n_requests, n_tasks; /* flights that are not SETTLED */
    wr_ids        ids;
    wr_alarms     alarms;
    wr_node       flights, sent, waiting[WEIR_LEVELS], requests, unwanted;
    wr_alarm      give_up, cut; /* cut: a closing farm waits no longer for a write */
    int64_t       down_since;   /* the client wants a connection and has none; else 0 */
    unsigned      up;           /* a bit for each wr_which that is connected */
    wr_io *tells; /* of the worker's two, whose failed attempts on_event hears of; NULL: none's */
    weir_remote_stats stats; /* connected: the client's */
    weir_notice       ended; /* expected by ended_at */
    weir_main        *ended_at;

    weir_task clock;
    /* Set once by serve under the lock, constant afterwards. */
    const wr_runner  *runner; /* NULL: serves nothing */
    weir_pool        *served; /* or loop */
    weir_loop_options loop;
    unsigned          prefetch;
    wr_handler       *handlers;
    size_t            n_handlers;
};

typedef struct wr_debts {
    wr_node  settled; /* flights whose notice is to be posted */
    wr_node  asked;   /* requests to cancel; each has a reference */
    wr_node  stuck;   /* requests to abandon; each has a reference */
    bool     clock, ended;
    unsigned bells; /* a bit per enum wr_which */
} wr_debts;

void wr_lock(weir_remote *farm, wr_debts *debts);
/* Notes that the farm is over if it is, unlocks, and does what is due. */
void wr_unlock(weir_remote *farm, wr_debts *debts);

void wr_farm_ref(weir_remote *farm);
void wr_farm_unref(weir_remote *farm);

/* Whether it closes and has neither jobs nor requests. */
bool wr_is_over_locked(const weir_remote *farm);
/* weir_run on the farm's pool; counts the task until its done. */
int wr_start(weir_remote *farm, weir_task *task);
/* The done of such a task calls it last. */
void wr_ended(weir_remote *farm);

void wr_set_alarm_locked(weir_remote *farm, wr_alarm *alarm, int64_t at, wr_debts *debts);
void wr_want_locked(weir_remote *farm, enum wr_which which,
                    wr_debts *debts); /* wakes that thread */

/* Settles f unless it is: returns whether it was this call. why: the end of its sentence.
 * answer: malloc'ed or NULL; becomes f's, or is freed. */
bool wr_settle_locked(wr_flight *f, int outcome, const char *why, wr_answer *answer,
                      wr_debts *debts);
/* The same for want of an answer; the sentence also says why there is no connection, if so. */
void       wr_give_up_locked(wr_flight *f, int outcome, const char *what, wr_debts *debts);
wr_flight *wr_find_locked(weir_remote *farm, const char *id, size_t length);
void       wr_flight_ref(wr_flight *f);
void       wr_flight_unref(wr_flight *f);

/* Tells on_event, if there is one. No lock is held. */
void wr_tell(weir_remote *farm, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Whether the calling process is not the one that opened it. */
bool wr_is_forked(const weir_remote *farm);

#endif
