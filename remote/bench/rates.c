/* SPDX-License-Identifier: ISC
 *
 * rates URL [SECONDS [IN_FLIGHT US [bare|ours]]]: jobs per second of weir-remote beside the same
 * program on librabbitmq alone, in turn, against one server, or one of them once, to be counted by
 * strace -c or perf stat. It declares the queues of the job "bench".
 *
 * Both give the same guarantees: persistent messages, confirms of jobs and replies, mandatory
 * jobs, a durable reply queue with acks, a worker with two connections that acknowledges a job
 * after its reply is confirmed, prefetch 2. Each has one client process and one worker process
 * with one thread that works. The bare program writes in line what it needs and no more: no
 * timeouts, no cancel, no reconnect.
 */
#include <weir_remote.h>

#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_tcp_socket.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static char    url[200], host[100];
static int     port;
static int64_t work_ns;

static void work(void)
{
    int64_t until = weir_now() + work_ns;
    while (work_ns && weir_now() < until)
        continue;
}

static void need(int ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "rates: %s\n", what);
    exit(1);
}

/* ---- librabbitmq alone -------------------------------------------------------------------- */

typedef amqp_connection_state_t link_to;

static link_to bare_open(void)
{
    link_to        c = amqp_new_connection();
    amqp_socket_t *s = amqp_tcp_socket_new(c);
    need(amqp_socket_open(s, host, port) == 0, "no connection");
    need(amqp_login(c, "/", 0, 131072, 10, AMQP_SASL_METHOD_PLAIN, "guest", "guest").reply_type ==
             AMQP_RESPONSE_NORMAL,
         "no login");
    amqp_channel_open(c, 1);
    amqp_confirm_select(c, 1);
    need(amqp_get_rpc_reply(c).reply_type == AMQP_RESPONSE_NORMAL, "no channel");
    return c;
}

static void bare_publish(link_to c, const char *key, int mandatory, amqp_bytes_t reply_to,
                         amqp_bytes_t id)
{
    static char             body[16];
    amqp_basic_properties_t p = {._flags =
                                     AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_CORRELATION_ID_FLAG,
                                 .delivery_mode = 2,
                                 .correlation_id = id};
    if (reply_to.len)
        p._flags |= AMQP_BASIC_REPLY_TO_FLAG;
    p.reply_to = reply_to;
    need(amqp_basic_publish(c, 1, amqp_empty_bytes, amqp_cstring_bytes(key), mandatory, 0, &p,
                            (amqp_bytes_t){sizeof body, body}) == 0,
         "publish");
}

/* The next frame if there is one now. */
static int bare_frame(link_to c, amqp_frame_t *f)
{
    struct timeval none = {0};
    int            code = amqp_simple_wait_frame_noblock(c, f, &none);
    need(code == AMQP_STATUS_OK || code == AMQP_STATUS_TIMEOUT, "frame");
    return code == AMQP_STATUS_OK;
}

static amqp_method_number_t method_of(const amqp_frame_t *f)
{
    return f->frame_type == AMQP_FRAME_METHOD ? f->payload.method.id : 0;
}

typedef struct {
    uint64_t delivery, published; /* published 0: free */
} owed_ack;

enum { PREFETCH = 2 };

static void bare_confirmed(link_to a, owed_ack *owed, const amqp_basic_ack_t *m)
{
    for (int i = 0; i < PREFETCH; i++)
        if (owed[i].published && (m->multiple ? owed[i].published <= m->delivery_tag
                                              : owed[i].published == m->delivery_tag)) {
            amqp_basic_ack(a, 1, owed[i].delivery, 0);
            owed[i].published = 0;
        }
}

static void bare_job(link_to a, link_to b, owed_ack *owed, uint64_t delivery, uint64_t *published)
{
    amqp_message_t m;
    char           key[100];
    int            i = 0;
    need(amqp_read_message(a, 1, &m, 0).reply_type == AMQP_RESPONSE_NORMAL, "message");
    work();
    snprintf(key, sizeof key, "%.*s", (int)m.properties.reply_to.len,
             (char *)m.properties.reply_to.bytes);
    bare_publish(b, key, 0, amqp_empty_bytes, m.properties.correlation_id);
    while (owed[i].published)
        i++;
    owed[i] = (owed_ack){delivery, ++*published};
    amqp_destroy_message(&m);
}

static void bare_worker(void)
{
    link_to      a = bare_open(), b = bare_open();
    owed_ack     owed[PREFETCH] = {{0, 0}};
    uint64_t     published = 0;
    amqp_frame_t f;
    amqp_basic_qos(a, 1, 0, PREFETCH, 0);
    amqp_basic_consume(a, 1, amqp_cstring_bytes("weir.bench"), amqp_empty_bytes, 0, 0, 0,
                       amqp_empty_table);
    for (;;) {
        struct pollfd p[2] = {{amqp_get_sockfd(a), POLLIN, 0}, {amqp_get_sockfd(b), POLLIN, 0}};
        while (bare_frame(b, &f))
            if (method_of(&f) == AMQP_BASIC_ACK_METHOD)
                bare_confirmed(a, owed, f.payload.method.decoded);
        while (bare_frame(a, &f))
            if (method_of(&f) == AMQP_BASIC_DELIVER_METHOD)
                bare_job(a, b, owed,
                         ((amqp_basic_deliver_t *)f.payload.method.decoded)->delivery_tag,
                         &published);
        amqp_maybe_release_buffers(a);
        amqp_maybe_release_buffers(b);
        if (!amqp_frames_enqueued(a) && !amqp_data_in_buffer(a))
            poll(p, 2, 1000);
    }
}

static double bare_client(int window, double seconds)
{
    link_to      c = bare_open();
    char         queue[60], id[40];
    unsigned     sent = 0, back = 0;
    amqp_frame_t f;
    snprintf(queue, sizeof queue, "weir.reply.bare.%d.%d", (int)getpid(), window);
    amqp_table_entry_t life = {amqp_cstring_bytes("x-expires"),
                               {.kind = AMQP_FIELD_KIND_I32, .value.i32 = 60000}};
    amqp_queue_declare(c, 1, amqp_cstring_bytes(queue), 0, 1, 0, 0, (amqp_table_t){1, &life});
    amqp_basic_consume(c, 1, amqp_cstring_bytes(queue), amqp_empty_bytes, 0, 0, 0,
                       amqp_empty_table);
    need(amqp_get_rpc_reply(c).reply_type == AMQP_RESPONSE_NORMAL, "reply queue");
    double  rate = 0;
    int64_t begin = weir_now(), until = begin + (int64_t)(seconds * 1e9);
    while (!rate || back < sent) { /* it leaves no jobs to the next one's worker */
        struct pollfd p = {amqp_get_sockfd(c), POLLIN, 0};
        if (!rate && weir_now() >= until)
            rate = back / ((double)(weir_now() - begin) / 1e9);
        while (!rate && sent - back < (unsigned)window) {
            snprintf(id, sizeof id, "01234567-89ab-4cde-8f01-%012u", sent++);
            bare_publish(c, "weir.bench", 1, amqp_cstring_bytes(queue), amqp_cstring_bytes(id));
        }
        uint64_t last = 0;
        while (bare_frame(c, &f))
            if (method_of(&f) == AMQP_BASIC_DELIVER_METHOD) {
                amqp_message_t m;
                last = ((amqp_basic_deliver_t *)f.payload.method.decoded)->delivery_tag;
                amqp_read_message(c, 1, &m, 0);
                amqp_destroy_message(&m);
                back++;
            }
        if (last)
            amqp_basic_ack(c, 1, last, 1);
        amqp_maybe_release_buffers(c);
        if (!last)
            poll(&p, 1, 1000);
    }
    amqp_connection_close(c, AMQP_REPLY_SUCCESS);
    amqp_destroy_connection(c);
    return rate;
}

/* ---- weir-remote --------------------------------------------------------------------------- */

static int handler(weir_request *r, void *state)
{
    size_t      size;
    const void *bytes = weir_request_bytes(r, &size);
    (void)state;
    work();
    return weir_request_reply(r, bytes, size);
}

static weir_remote_options options(void)
{
    return (weir_remote_options){.size = sizeof(weir_remote_options), .url = url};
}

static void our_worker(void)
{
    weir_remote        *farm;
    weir_pool          *pool;
    weir_handler        h = {"bench", handler, 0};
    weir_pool_options   one = {.size = sizeof one, .threads = 1};
    weir_remote_options o = options();
    need(!weir_pool_open(&pool, &one) && !weir_remote_open(&farm, &o) &&
             !weir_remote_serve(farm, pool, &h, 1),
         weir_remote_error());
    for (;;)
        pause();
}

static struct {
    weir_remote *farm;
    weir_main   *m;
    unsigned     back;
    int64_t      begin, until;
    double       rate; /* once it is known no more is run */
} ours;

static void run_one(weir_job *job)
{
    weir_job_options how = {.size = sizeof how, .deliver_to = ours.m};
    need(!weir_remote_run(ours.farm, job, "bench", "0123456789abcdef", 16, &how),
         weir_remote_error());
}

static void done(weir_job *job)
{
    int64_t now = weir_now();
    need(job->outcome == 0, job->error_text ? job->error_text : "outcome");
    ours.back++;
    if (!ours.rate && now >= ours.until)
        ours.rate = ours.back / ((double)(now - ours.begin) / 1e9);
    if (!ours.rate)
        run_one(job);
}

static double our_client(int window, double seconds)
{
    static weir_job     jobs[64];
    weir_remote_options o = options();
    memset(&ours, 0, sizeof ours);
    memset(jobs, 0, sizeof jobs);
    need(!weir_main_open(&ours.m) && !weir_remote_open(&ours.farm, &o), weir_remote_error());
    jobs[0].done = done;
    run_one(&jobs[0]); /* one alone first: the connection is not measured for the bare one */
    weir_main_wait(ours.m, -1);
    ours.back = 0;
    ours.rate = 0;
    ours.begin = weir_now();
    ours.until = ours.begin + (int64_t)(seconds * 1e9);
    for (int i = 0; i < window; i++) {
        jobs[i].done = done;
        run_one(&jobs[i]);
    }
    while (weir_main_pending(ours.m) > 0) /* until all are back */
        weir_main_wait(ours.m, -1);
    weir_remote_close(ours.farm, WEIR_REMOTE_DRAIN, ours.m, -1);
    weir_main_close(ours.m, 0);
    return ours.rate;
}

/* ---- in turn --------------------------------------------------------------------------------- */

static double cpu_of(pid_t child)
{
    struct rusage used;
    int           status;
    need(wait4(child, &status, 0, &used) == child, "wait");
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

/* *cpu: what client and worker used, in s for each job; not the server. */
static double measure(void (*worker)(void), double (*client)(int, double), int window,
                      double seconds, double *cpu)
{
    int    out[2];
    double rate = 0;
    pid_t  w = fork();
    if (w == 0)
        worker();
    need(pipe(out) == 0, "pipe");
    pid_t c = fork();
    if (c == 0) {
        rate = client(window, seconds);
        _exit(write(out[1], &rate, sizeof rate) != sizeof rate);
    }
    close(out[1]);
    need(read(out[0], &rate, sizeof rate) == sizeof rate, "the client failed");
    *cpu = cpu_of(c);
    kill(w, SIGKILL);
    *cpu = (*cpu + cpu_of(w)) / (rate * seconds);
    close(out[0]);
    return rate;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void compare(int window, int64_t ns, double seconds)
{
    enum { ROUNDS = 5 };
    double bare[ROUNDS], our[ROUNDS], bare_cpu[ROUNDS], our_cpu[ROUNDS];
    work_ns = ns;
    for (int i = 0; i < ROUNDS; i++) {
        bare[i] = measure(bare_worker, bare_client, window, seconds, &bare_cpu[i]);
        our[i] = measure(our_worker, our_client, window, seconds, &our_cpu[i]);
    }
    qsort(bare, ROUNDS, sizeof *bare, by_size);
    qsort(our, ROUNDS, sizeof *our, by_size);
    qsort(bare_cpu, ROUNDS, sizeof *bare_cpu, by_size);
    qsort(our_cpu, ROUNDS, sizeof *our_cpu, by_size);
    printf("%6lld us %4d  %8.0f (%.0f-%.0f)  %8.0f (%.0f-%.0f)  %.2fx  %4.0f %4.0f us\n",
           (long long)(ns / 1000), window, bare[2], bare[0], bare[4], our[2], our[0], our[4],
           our[2] / bare[2], bare_cpu[2] * 1e6, our_cpu[2] * 1e6);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    double seconds = argc > 2 ? atof(argv[2]) : 2;
    need(argc > 1 && sscanf(argv[1], "amqp://%99[^:]:%d", host, &port) == 2,
         "usage: rates amqp://HOST:PORT [SECONDS [IN_FLIGHT US [bare|ours]]]");
    snprintf(url, sizeof url, "%s", argv[1]);
    weir_remote_options o = options();
    need(weir_remote_declare(&o, (const char *const[]){"bench"}, 1) == 0, weir_remote_error());
    printf("%9s %4s  %-20s  %-20s  medians of 5, least-most; CPU per job of both programs\n", "job",
           "in flight", "librabbitmq alone", "weir-remote");
    if (argc > 5) {
        bool   is_ours = !strcmp(argv[5], "ours");
        double cpu;
        work_ns = atoi(argv[4]) * INT64_C(1000);
        double rate = measure(is_ours ? our_worker : bare_worker,
                              is_ours ? our_client : bare_client, atoi(argv[3]), seconds, &cpu);
        printf("%s: %.0f jobs/s, %.0f us of CPU each\n", argv[5], rate, cpu * 1e6);
        return 0;
    }
    if (argc > 4) {
        compare(atoi(argv[3]), atoi(argv[4]) * INT64_C(1000), seconds);
        return 0;
    }
    compare(1, 0, seconds);
    compare(16, 0, seconds);
    compare(64, 0, seconds);
    compare(1, 1000000, seconds);
    compare(16, 1000000, seconds);
    compare(64, 1000000, seconds);
    return 0;
}
