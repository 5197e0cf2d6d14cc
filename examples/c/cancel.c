/* SPDX-License-Identifier: ISC
 *
 * cancel.c FILE [LOCK]: queries that are cancelled while they compute, wait for a lock, or are in a
 * transaction, and what their thread's connection does afterwards. LOCK is the SQL by which another
 * connection locks the database in FILE.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <weir.h>

struct query {
    weir_task   task; /* first: a task is its query */
    const char *sql;
};

static int was_asked(void *unused) { return weir_cancel_requested(weir_task_current()); }

/* While another connection has the lock: 0 gives up. */
static int wait_on(void *unused, int times) { return !was_asked(NULL) && sqlite3_sleep(10); }

static int connect_db(void *file, void **db) /* on a worker, but not in a task */
{
    int rc = sqlite3_open(file, (sqlite3 **)db);
    if (rc == SQLITE_OK) /* wait_on would not end here: there is no task to cancel */
        rc = sqlite3_busy_timeout(*db, 1000);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(*db, "PRAGMA schema_version", NULL, NULL, NULL); /* reads the file */
    if (rc != SQLITE_OK)
        return sqlite3_close(*db), rc;
    sqlite3_progress_handler(*db, 1000, was_asked, NULL);
    return sqlite3_busy_handler(*db, wait_on, NULL); /* in place of the timeout */
}

static void disconnect_db(void *file, void *db) { sqlite3_close(db); }

static int end_transaction(sqlite3 *db, int rc)
{
    if (sqlite3_get_autocommit(db))
        return rc;
    sqlite3_progress_handler(db, 0, NULL, NULL); /* it could stop the ROLLBACK as well */
    sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    sqlite3_progress_handler(db, 1000, was_asked, NULL);
    return rc != SQLITE_OK ? rc : SQLITE_ABORT_ROLLBACK; /* it has no COMMIT: nothing is kept */
}

static int ask(weir_task *task, void *db) /* on a worker */
{
    int rc = sqlite3_exec(db, ((struct query *)task)->sql, NULL, NULL, NULL);
    rc = end_transaction(db, rc);
    return rc != SQLITE_OK && weir_cancel_requested(task) ? WEIR_ECANCELED : rc;
}

static void ask_within(weir_pool *pool, const char *sql, int64_t ns)
{
    struct query q = {.task.run = ask, .sql = sql};
    int          rc = weir_run(pool, &q.task, NULL);
    if (rc == 0 && weir_wait(&q.task, ns) == WEIR_ETIMEDOUT)
        weir_cancel(&q.task), weir_wait(&q.task, -1);
    rc = rc == 0 ? weir_task_outcome(&q.task) : rc;
    printf("%.32s: %s\n", sql, rc > 0 ? sqlite3_errstr(rc) : weir_strerror(rc));
}

static int print(void *unused, int n, char **row, char **names) { return puts(row[0]) < 0; }

#define ENDLESS "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT sum(i) FROM n"

int main(int argc, char **argv)
{
    weir_pool_options opts = {.size = sizeof opts, .name = "db", .threads = 1, .arg = argv[1]};
    weir_pool        *pool;
    sqlite3          *other;
    sqlite3_open(argv[1], &other), sqlite3_exec(other, "CREATE TABLE t (i)", NULL, NULL, NULL);
    sqlite3_exec(other, argc > 2 ? argv[2] : "BEGIN IMMEDIATE", NULL, NULL, NULL);
    opts.init = connect_db, opts.at_exit = disconnect_db;
    if (weir_pool_open(&pool, &opts) != 0)
        return printf("no pool: %s\n", sqlite3_errstr(weir_pool_init_error(NULL))), 1;
    ask_within(pool, ENDLESS, 50000000 /* 50 ms */);
    ask_within(pool, "INSERT INTO t VALUES (1)", 50000000); /* `other` has the lock */
    sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL);
    ask_within(pool, "BEGIN; INSERT INTO t VALUES (2); " ENDLESS "; COMMIT", 50000000);
    ask_within(pool, "INSERT INTO t VALUES (3)", -1);
    ask_within(pool, "BEGIN; INSERT INTO t VALUES (4)", -1);
    weir_close(pool, WEIR_CLOSE);
    weir_pool_release(pool);
    sqlite3_exec(other, "SELECT 'in t: ' || coalesce(group_concat(i), 'nothing') FROM t", print,
                 NULL, NULL);
    return sqlite3_close(other);
}
