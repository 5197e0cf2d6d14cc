/* SPDX-License-Identifier: ISC
 *
 * timeout.c FILE: queries that may take so long each, from a loop over poll(2). The loop asks a
 * late one to stop, and SQLite looks now and then, also while the database in FILE is locked.
 */
#include <poll.h>
#include <sqlite3.h>
#include <stdio.h>
#include <weir.h>

struct query {
    weir_task   task; /* first: a task is its query */
    const char *sql;
    int64_t     within, until; /* until is a time of weir_now; 0: it is not under way */
};

static int was_asked(void *unused) { return weir_cancel_requested(weir_task_current()); }

/* While another connection has the lock: 0 gives up. */
static int wait_on(void *unused, int times) { return !was_asked(NULL) && sqlite3_sleep(10); }

static int connect_db(void *file, void **state) /* on a worker */
{
    int rc = sqlite3_open(file, (sqlite3 **)state);
    if (rc != SQLITE_OK)
        return sqlite3_close(*state), rc;
    sqlite3_progress_handler(*state, 1000, was_asked, NULL);
    sqlite3_busy_handler(*state, wait_on, NULL);
    return SQLITE_OK;
}

static void disconnect_db(void *file, void *state) { sqlite3_close(state); }

static int ask(weir_task *task, void *db) /* on a worker */
{
    int rc = sqlite3_exec(db, ((struct query *)task)->sql, NULL, NULL, NULL);
    return rc != SQLITE_OK && weir_cancel_requested(task) ? WEIR_ECANCELED : rc;
}

static void answered(weir_task *task) { ((struct query *)task)->until = 0; }

#define ENDLESS "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT sum(i) FROM n"
enum { N = 3 };
static struct query queries[N] = {{.sql = ENDLESS, .within = 50000000 /* 50 ms */},
                                  {.sql = "CREATE TABLE t (i)", .within = 50000000},
                                  {.sql = "SELECT 6 * 7", .within = 3600000000000 /* 1 h */}};

static int stop_late(void) /* returns for how many ms the loop may sleep */
{
    int64_t now = weir_now(), next = INT64_MAX;
    for (struct query *q = queries; q < queries + N; q++)
        if (q->until && q->until <= now) {
            weir_cancel(&q->task); /* a queued one is taken back, a running one asked */
            q->until = INT64_MAX;
        } else if (q->until && q->until < next) {
            next = q->until;
        }
    return next == INT64_MAX ? -1 : (int)((next - now) / 1000000 + 1);
}

int main(int argc, char **argv)
{
    weir_pool_options opts = {.size = sizeof opts, .name = "db", .threads = 2};
    weir_main        *loop;
    weir_pool        *db;
    sqlite3          *other; /* its lock keeps the second query waiting */
    sqlite3_open(argv[1], &other), sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    opts.arg = argv[1], opts.init = connect_db, opts.at_exit = disconnect_db;
    if (weir_main_open(&loop) != 0 || weir_pool_open(&db, &opts) != 0)
        return 1;
    for (struct query *q = queries; q < queries + N; q++) {
        q->task = (weir_task){.run = ask, .done = answered};
        if (weir_run(db, &q->task, loop) == 0)
            q->until = weir_now() + q->within;
    }
    struct pollfd ready = {.fd = weir_main_fd(loop), .events = POLLIN};
    while (weir_main_pending(loop) > 0) {
        poll(&ready, 1, stop_late());
        weir_main_dispatch(loop, 0);
    }
    for (struct query *q = queries; q < queries + N; q++) {
        int rc = weir_task_outcome(&q->task);
        printf("%.24s: %s\n", q->sql, rc > 0 ? sqlite3_errstr(rc) : weir_strerror(rc));
    }
    sqlite3_close(other);
    weir_close(db, WEIR_CLOSE);
    weir_pool_release(db);
    return weir_main_close(loop, 0) != 0;
}
