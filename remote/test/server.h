/* SPDX-License-Identifier: ISC
 *
 * server.h: the run's own RabbitMQ, and worker programs of their own.
 *
 * WEIR_REMOTE_BROKER is the folder of a server that broker.sh started. Without it main starts
 * one and ends it.
 */
#ifndef REMOTE_SERVER_H
#define REMOTE_SERVER_H

#include "rig.h"

#include <amqp.h>

/* Before the first test that needs it: starts it unless it is there, declares `names`. */
void server_begin(void);
void server_end(void); /* ends what server_begin has started */
/* Drops the jobs that wait, so that none of a failed test reaches the next one. */
void server_empty(void);
/* A connection of the user who may do anything, to be destroyed by the caller; its channel is 1. */
amqp_connection_state_t server_connection(void);
const char             *server_url(void);
const char             *server_file(const char *name);     /* a file of its folder; static memory */
void server_do(const char *command, const char *argument); /* of broker.sh; waits */
void server_alarm(const char *on, const char *of);

/* Short intervals, so that tests are short. */
weir_remote_options server_options(void);
/* A client of the server, with its main. */
typedef struct {
    weir_remote *farm;
    weir_main   *m;
} client;
void client_open(client *c, const weir_remote_options *options);
void client_close(client *c);

weir_remote_stats stats(weir_remote *farm);

/* Turns the loop until it holds; it looks again in some milliseconds, because no delivery may
 * come. */
#define TURN_UNTIL(c, condition)                                                                   \
    do {                                                                                           \
        test_stage(#condition);                                                                    \
        while (!(condition))                                                                       \
            if (weir_main_wait((c).m, MILLIS(5)) == 0)                                             \
                sched_yield();                                                                     \
        test_stage(NULL);                                                                          \
    } while (0)

/* A worker program: this executable once more. Its handlers say in a line of their own when
 * they begin: NAME ID ATTEMPT. Those that hold end when a byte comes. SIGTERM ends it; "drains"
 * says that something runs still. */
typedef struct {
    pid_t pid;
    int   in, out;
    char  seen[2048];
    int   n_seen;
} worker;

/* names: those of `handlers` in server.c, with commas between, or "loop": all of
 * worker_loop.c. url NULL: the server's. */
void worker_start(worker *w, const char *names, const char *url);
/* Waits for a line that begins with this; the line. */
const char *worker_says(worker *w, const char *begins);
void        worker_go_on(worker *w); /* one held handler */
void        worker_kill(worker *w, int signal);
/* Until it has ended; its wait status. */
int  worker_reap(worker *w);
void worker_stop(worker *w); /* SIGTERM; it ends with 0 */

/* The program of a worker whose handlers are "loop". */
int worker_loop(const char *at);
/* The program of a worker: argv of main, from --worker on. */
int worker_main(int argc, char **argv);

#endif
