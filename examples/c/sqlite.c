/* SPDX-License-Identifier: ISC
 *
 * sqlite.c [FILE]: queries on threads that have a connection each; without FILE each to an empty
 * database of its own. Without a loop: weir_main_wait delivers.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <weir.h>

static int connect_db(void *file, void **state) /* on a worker */
{
    sqlite3 *db;
    int      rc = sqlite3_open(file, &db);
    if (rc == SQLITE_OK && (rc = sqlite3_busy_timeout(db, 5000)) == SQLITE_OK)
        rc = sqlite3_exec(db, "PRAGMA schema_version", NULL, NULL, NULL); /* reads the file */
    if (rc != SQLITE_OK)
        sqlite3_close(db);
    return *state = db, rc;
}

static void disconnect_db(void *file, void *state)
{
    if (sqlite3_close(state) != SQLITE_OK)
        fprintf(stderr, "a statement is open\n");
}

struct query {
    weir_task   task; /* first: a task is its query */
    const char *sql;
    bool        has_row;
    int         answer;
    char        problem[80];
};

static int ask(weir_task *task, void *db) /* on a worker: it may block */
{
    struct query *q = (struct query *)task;
    sqlite3_stmt *statement = NULL;
    int           rc = sqlite3_prepare_v2(db, q->sql, -1, &statement, NULL);
    if (rc == SQLITE_OK && (rc = sqlite3_step(statement)) == SQLITE_ROW)
        q->has_row = true, q->answer = sqlite3_column_int(statement, 0);
    else if (rc != SQLITE_DONE) /* done without a row */
        snprintf(q->problem, sizeof q->problem, "%s", sqlite3_errmsg(db));
    sqlite3_finalize(statement);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : 1;
}

static void answered(weir_task *task) /* on the loop's thread */
{
    struct query *q = (struct query *)task;
    int           outcome = weir_task_outcome(task);
    if (outcome == 0 && q->has_row)
        printf("%s is %d\n", q->sql, q->answer);
    else if (outcome == 0)
        printf("%s: done\n", q->sql);
    else /* below 0: why it did not end by itself; above 0: what run returned */
        printf("%s: %s\n", q->sql, outcome < 0 ? weir_strerror(outcome) : q->problem);
}

static const char *why(int rc) /* there is no pool: connect_db's code, or weir's */
{
    return rc == WEIR_EINIT ? sqlite3_errstr(weir_pool_init_error(NULL)) : weir_strerror(rc);
}

int main(int argc, char **argv)
{
    weir_pool_options opts = {.size = sizeof opts, .threads = 2, .queue_limit = 1000};
    struct query      all[] = {{.sql = "SELECT 6 * 7"},
                               {.sql = "CREATE TABLE IF NOT EXISTS t (i)"},
                               {.sql = "SELECT sum FROM nowhere"}};
    weir_main        *loop;
    weir_pool        *db;
    int               rc = weir_main_open(&loop);
    opts.arg = argc > 1 ? argv[1] : ":memory:", opts.init = connect_db,
    opts.at_exit = disconnect_db;
    if (rc != 0 || (rc = weir_pool_open(&db, &opts)) != 0)
        return fprintf(stderr, "no pool: %s\n", why(rc)), 1;
    for (int i = 0; i < 3; i++) {
        all[i].task = (weir_task){.run = ask, .done = answered};
        if ((rc = weir_run(db, &all[i].task, loop)) != 0)
            fprintf(stderr, "%s: not accepted: %s\n", all[i].sql, weir_strerror(rc));
        while (weir_main_pending(loop) > 0)
            weir_main_wait(loop, -1);
    }
    rc = weir_close_within(db, WEIR_DRAIN, 5000000000);
    printf("closed: %s\n", weir_strerror(rc));
    weir_pool_release(db);
    return weir_main_close(loop, 0) != 0;
}
