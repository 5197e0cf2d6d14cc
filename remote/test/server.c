/* SPDX-License-Identifier: ISC
 *
 * server.c: the run's server, worker programs.
 */
#include "server.h"

#include <amqp_tcp_socket.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static const char *const names[] = {"echo",   "raises", "silent",     "holds",      "dies_once",
                                    "poison", "stops",  "hangs",      "retries",    "small",
                                    "slow",   "late",   "gives_back", "poison.back"};

/* ---- the server ---------------------------------------------------------------------------- */

static char dir[256], url[128];
static bool ours;

const char *server_url(void) { return url; }

const char *server_file(const char *name)
{
    static char path[400];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static int run_command(char *const argv[])
{
    pid_t pid;
    int   status = -1;
    expect_eq(posix_spawn(&pid, argv[0], NULL, NULL, argv, environ), 0);
    while (waitpid(pid, &status, 0) < 0)
        continue;
    return status;
}

/* The age of the queues; -1: they are not declared. */
static int declared_since(void)
{
    struct stat s;
    return stat(server_file("declared"), &s) == 0 ? (int)(time(NULL) - s.st_mtime) : -1;
}

/* A server that is killed some seconds after a quorum queue was declared may never find a
 * leader for that queue again. */
void server_do(const char *command, const char *argument)
{
    int age = declared_since();
    if (age >= 0 && age < 10 && !strcmp(command, "kill"))
        poll(NULL, 0, 1000 * (10 - age));
    char *argv[] = {(char *)BROKER, (char *)command, dir, (char *)argument, NULL};
    test_stage(command);
    expect_eq(run_command(argv), 0);
    test_stage(NULL);
}

void server_alarm(const char *on, const char *of)
{
    char *argv[] = {(char *)BROKER, (char *)"alarm", dir, (char *)on, (char *)of, NULL};
    test_stage("an alarm");
    expect_eq(run_command(argv), 0);
    test_stage(NULL);
}

static void read_url(void)
{
    char path[300];
    snprintf(path, sizeof path, "%s/url", dir);
    FILE *file = fopen(path, "re");
    expect(file && fgets(url, sizeof url, file));
    fclose(file);
    url[strcspn(url, "\n")] = 0;
}

static void declare(void)
{
    weir_remote_options o = server_options();
    if (weir_remote_declare(&o, names, sizeof names / sizeof *names) != 0) {
        fprintf(stderr, "%s\n", weir_remote_error());
        abort();
    }
    fclose(fopen(server_file("declared"), "we"));
}

void server_begin(void)
{
    const char *given_dir = getenv("WEIR_REMOTE_BROKER");
    snprintf(dir, sizeof dir, "%s", given_dir ? given_dir : "/tmp/weir-remote-XXXXXX");
    ours = !given_dir;
    if (ours) {
        expect(mkdtemp(dir) != NULL);
        server_do("start", NULL);
    }
    read_url();
    if (declared_since() < 0)
        declare();
}

amqp_connection_state_t server_connection(void)
{
    char                    host[64];
    int                     port;
    amqp_connection_state_t c = amqp_new_connection();
    amqp_socket_t          *s = amqp_tcp_socket_new(c);
    expect_eq(sscanf(url, "amqp://%63[^:]:%d", host, &port), 2);
    expect_eq(amqp_socket_open(s, host, port), 0);
    amqp_login(c, "/", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest");
    amqp_channel_open(c, 1);
    return c;
}

void server_empty(void)
{
    amqp_connection_state_t c = server_connection();
    char                    queue[64];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(queue, sizeof queue, "weir.%s", names[i]);
        expect(amqp_queue_purge(c, 1, amqp_cstring_bytes(queue)) != NULL);
    }
    amqp_destroy_connection(c);
}

void server_end(void)
{
    char *argv[] = {(char *)"/bin/rm", (char *)"-rf", dir, NULL};
    if (!ours)
        return;
    server_do("stop", NULL);
    run_command(argv);
}

weir_remote_options server_options(void)
{
    weir_remote_options o = options_of(url);
    o.heartbeat_ns = SECONDS(1);
    o.reconnect_min_ns = MILLIS(20);
    o.reconnect_max_ns = MILLIS(200);
    o.connect_within_ns = SECONDS(20);
    return o;
}

void client_open(client *c, const weir_remote_options *options)
{
    weir_remote_options usual = server_options();
    expect_eq(weir_main_open(&c->m), 0);
    expect_eq(weir_remote_open(&c->farm, options ? options : &usual), 0);
}

weir_remote_stats stats(weir_remote *farm)
{
    weir_remote_stats s = {.size = sizeof s};
    expect_eq(weir_remote_get_stats(farm, &s), 0);
    return s;
}

void client_close(client *c)
{
    expect_eq(weir_remote_close(c->farm, WEIR_REMOTE_DRAIN, c->m, -1), 0);
    main_end(c->m);
}

/* ---- worker programs, seen by a test ----------------------------------------------------------
 */

/* From its first moment until the worker is ready for it. */
static void hold_sigterm(posix_spawnattr_t *how)
{
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    posix_spawnattr_init(how);
    posix_spawnattr_setsigmask(how, &ends);
    posix_spawnattr_setflags(how, POSIX_SPAWN_SETSIGMASK);
}

void worker_start(worker *w, const char *handlers, const char *at)
{
    int   in[2], out[2];
    char *argv[] = {(char *)"/proc/self/exe", (char *)"--worker", (char *)(at ? at : url),
                    (char *)handlers, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t          how;
    *w = (worker){0};
    hold_sigterm(&how);
    expect_eq(pipe2(in, O_CLOEXEC), 0);
    expect_eq(pipe2(out, O_CLOEXEC), 0);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, in[0], 0);
    posix_spawn_file_actions_adddup2(&files, out[1], 1);
    expect_eq(posix_spawn(&w->pid, argv[0], &files, &how, argv, environ), 0);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&how);
    close(in[0]);
    close(out[1]);
    w->in = in[1];
    w->out = out[0];
}

static const char *line_of(worker *w, const char *begins)
{
    static char line[200];
    for (char *at = w->seen, *end; (end = strchr(at, '\n')); at = end + 1)
        if (!strncmp(at, begins, strlen(begins))) {
            snprintf(line, sizeof line, "%.*s", (int)(end - at), at);
            memmove(at, end + 1, strlen(end + 1) + 1);
            w->n_seen = (int)strlen(w->seen);
            return line;
        }
    return NULL;
}

const char *worker_says(worker *w, const char *begins)
{
    const char *line;
    test_stage(begins);
    while (!(line = line_of(w, begins))) {
        ssize_t n = read(w->out, w->seen + w->n_seen, sizeof w->seen - 1 - (size_t)w->n_seen);
        expect_op(n, >, 0);
        w->n_seen += (int)n;
        w->seen[w->n_seen] = 0;
    }
    test_stage(NULL);
    return line;
}

void worker_go_on(worker *w) { expect_eq(write(w->in, "g", 1), 1); }
void worker_kill(worker *w, int signal) { expect_eq(kill(w->pid, signal), 0); }

int worker_reap(worker *w)
{
    int status = -1;
    test_stage("a worker ends");
    while (waitpid(w->pid, &status, 0) < 0)
        continue;
    close(w->in);
    close(w->out);
    test_stage(NULL);
    return status;
}

void worker_stop(worker *w)
{
    worker_kill(w, SIGTERM);
    expect_eq(worker_reap(w), 0);
}

/* ---- a worker program
 * ---------------------------------------------------------------------------- */

static void says(const char *what, weir_request *r)
{
    char line[200];
    int  n = snprintf(line, sizeof line, "%s %s %u\n", what, weir_request_id(r),
                      weir_request_attempt(r));
    if (write(1, line, (size_t)n) != n)
        _exit(3);
}

static void until_a_byte(void)
{
    char byte;
    if (read(0, &byte, 1) != 1)
        _exit(0); /* the test is gone */
}

static int w_holds(weir_request *r, void *state)
{
    says("holds", r);
    until_a_byte();
    return echo(r, state);
}

static int w_dies_once(weir_request *r, void *state)
{
    says("dies_once", r);
    if (weir_request_attempt(r) == 1)
        kill(getpid(), SIGKILL);
    return echo(r, state);
}

static int w_poison(weir_request *r, void *state)
{
    (void)state;
    says("poison", r);
    return kill(getpid(), SIGKILL);
}

static int w_stops(weir_request *r, void *state)
{
    (void)state;
    says("stops", r);
    while (!weir_request_cancelled(r))
        sched_yield();
    says("stopped", r);
    return weir_request_fail(r, "Stopped", "");
}

/* Given up the first time. */
static int w_hangs(weir_request *r, void *state)
{
    says("hangs", r);
    if (weir_request_attempt(r) == 1)
        until_a_byte();
    return echo(r, state);
}

static int w_retries(weir_request *r, void *state)
{
    says("retries", r);
    return weir_request_attempt(r) < 3 ? weir_request_retry(r) : echo(r, state);
}

static int w_gives_back(weir_request *r, void *state)
{
    says("gives_back", r);
    until_a_byte();
    return weir_request_attempt(r) < 2 ? weir_request_retry(r) : echo(r, state);
}

static int w_always_back(weir_request *r, void *state)
{
    (void)state;
    return weir_request_retry(r);
}

/* Work of about a millisecond. */
static int w_slow(weir_request *r, void *state)
{
    int64_t until = weir_now() + MILLIS(1);
    while (weir_now() < until)
        continue;
    return echo(r, state);
}

static const weir_handler handlers[] = {{"echo", echo, 0},
                                        {"raises", raises, 0},
                                        {"silent", silent, 0},
                                        {"holds", w_holds, 0},
                                        {"dies_once", w_dies_once, 0},
                                        {"poison", w_poison, 0},
                                        {"stops", w_stops, 0},
                                        {"hangs", w_hangs, MILLIS(50)},
                                        {"retries", w_retries, 0},
                                        {"gives_back", w_gives_back, 0},
                                        {"poison.back", w_always_back, 0},
                                        {"small", w_holds, 0},
                                        {"slow", w_slow, 0},
                                        {"late", echo, 0}};

static size_t choose(weir_handler *to, char *wanted)
{
    size_t n = 0;
    for (char *name = strtok(wanted, ","); name; name = strtok(NULL, ","))
        for (size_t i = 0; i < sizeof handlers / sizeof *handlers; i++)
            if (!strcmp(handlers[i].name, name))
                to[n++] = handlers[i];
    return n;
}

static void tells(void *arg, int code, const char *sentence)
{
    (void)arg;
    if (getenv("WEIR_REMOTE_VERBOSE"))
        fprintf(stderr, "[%d] %d %s\n", (int)getpid(), code, sentence);
}

/* Says "drains" when it takes no more and something runs still. */
static void drain(weir_remote *farm)
{
    int code = weir_remote_close(farm, WEIR_REMOTE_DRAIN, NULL, 0);
    if (code == WEIR_ETIMEDOUT) {
        expect_eq(write(1, "drains\n", 7), 7);
        code = weir_remote_close(farm, WEIR_REMOTE_DRAIN, NULL, SECONDS(60));
    }
    expect_eq(code, 0);
}

int worker_main(int argc, char **argv)
{
    weir_handler      chosen[16];
    sigset_t          ends;
    int               signal;
    weir_remote      *farm;
    weir_pool        *pool;
    weir_pool_options one = pool_of(1);
    expect_eq(argc, 4);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(url, sizeof url, "%s", argv[2]);
    if (!strcmp(argv[3], "loop"))
        return worker_loop(url);
    weir_remote_options o = server_options();
    o.on_event = tells;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    expect_eq(weir_pool_open(&pool, &one), 0);
    expect_eq(weir_remote_open(&farm, &o), 0);
    expect_eq(weir_remote_serve(farm, pool, chosen, choose(chosen, argv[3])), 0);
    sigwait(&ends, &signal);
    drain(farm);
    pool_end(pool);
    return 0;
}
