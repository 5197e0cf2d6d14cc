/* SPDX-License-Identifier: ISC
 *
 * peer worker URL | peer client URL: one side of a pair of programs; pairs.pl has the words
 * that they say and hear. It writes the argument's MessagePack by hand, as C programs do
 * that use no library for it.
 */
#include "weir_remote.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char type[] = "application/vnd.msgpack";

static weir_remote_options options(const char *url)
{
    return (weir_remote_options){.size = sizeof(weir_remote_options),
                                 .url = url,
                                 .heartbeat_ns = 2000000000,
                                 .reconnect_min_ns = 20000000,
                                 .reconnect_max_ns = 200000000,
                                 .reply_life_ns = 5000000000};
}

static void must(int code)
{
    if (code) {
        fprintf(stderr, "peer: %s\n", weir_remote_error());
        exit(1);
    }
}

/* ---- handlers ------------------------------------------------------------------------------- */

static int echo(weir_request *r, void *state)
{
    size_t      size;
    const void *bytes = weir_request_bytes(r, &size);
    (void)state;
    return weir_request_reply_as(r, weir_request_content_type(r), bytes, size);
}

static int raises(weir_request *r, void *state)
{
    (void)state;
    return weir_request_fail(r, "Failure", "on purpose");
}

static void until_cancelled(weir_request *r)
{
    while (!weir_request_cancelled(r))
        poll(NULL, 0, 2);
}

static int holds(weir_request *r, void *state)
{
    printf("holds %u\n", weir_request_attempt(r));
    if (weir_request_attempt(r) == 1)
        until_cancelled(r);
    return echo(r, state);
}

/* What ran may run again when its worker is killed: not with these words. */
static int stops(weir_request *r, void *state)
{
    if (weir_request_attempt(r) > 1)
        return echo(r, state);
    printf("stops\n");
    until_cancelled(r);
    printf("stopped\n");
    return echo(r, state);
}

static int hogs(weir_request *r, void *state)
{
    int64_t until = weir_now() + 5000000000;
    printf("hogs %u\n", weir_request_attempt(r));
    while (weir_now() < until)
        continue;
    return echo(r, state);
}

/* How to close: by cancel if anything comes. */
static unsigned until_told(void)
{
    char byte;
    return read(0, &byte, 1) > 0 ? WEIR_REMOTE_CANCEL : WEIR_REMOTE_DRAIN;
}

static void worker(const char *url)
{
    weir_remote        *farm;
    weir_pool          *pool;
    weir_remote_options o = options(url);
    weir_pool_options   two = {.size = sizeof two, .threads = 2};
    const weir_handler  handlers[] = {{"hogs", hogs, 0},
                                      {"echo", echo, 0},
                                      {"raises", raises, 0},
                                      {"holds", holds, 0},
                                      {"stops", stops, 0}};
    must(weir_pool_open(&pool, &two));
    must(weir_remote_open(&farm, &o));
    must(weir_remote_serve(farm, pool, handlers, 5));
    printf("ready\n");
    unsigned how = until_told();
    if (weir_remote_close(farm, how, NULL, 10000000) == WEIR_ETIMEDOUT) {
        printf("drains\n");
        must(weir_remote_close(farm, how, NULL, -1));
    }
    weir_close(pool, WEIR_CLOSE);
    weir_pool_release(pool);
}

/* ---- a client ----------------------------------------------------------------------------------
 */

static unsigned number(const unsigned char *at, int bytes)
{
    unsigned n = 0;
    while (bytes--)
        n = n << 8 | *at++;
    return n;
}

/* [str, natural number]: the string's length, and the number. */
static void tell_result(const unsigned char *at, size_t size)
{
    const unsigned char *end = at + size;
    unsigned             length = 0, n;
    if (size < 3 || *at++ != 0x92)
        abort();
    int tag = *at++;
    if (tag >= 0xa0 && tag < 0xc0)
        length = (unsigned)tag - 0xa0;
    else {
        int bytes = 1 << (tag - 0xd9);
        length = number(at, bytes);
        at += bytes;
    }
    at += length;
    n = *at < 0x80 ? *at : number(at + 1, 1 << (*at - 0xcc));
    at += *at < 0x80 ? 1 : 1 + (1 << (*at - 0xcc));
    printf(at == end ? "ok %u %u\n" : "failed %u %u\n", length, n);
}

static void done(weir_job *job)
{
    if (job->outcome == 0)
        tell_result(job->result, job->result_size);
    else if (job->outcome == WEIR_REMOTE_ERAISED)
        printf("raised %s %.*s\n", job->error_name, (int)strcspn(job->error_text, "\n"),
               job->error_text);
    else
        printf(job->outcome == WEIR_ECANCELED ? "cancelled\n" : "failed %s\n", job->error_text);
    job->outcome = 0;
}

static size_t put(unsigned char *to, int tag, unsigned n)
{
    to[0] = (unsigned char)tag;
    for (int i = 0; i < 4; i++)
        to[1 + i] = (unsigned char)(n >> (24 - 8 * i));
    return 5;
}

static void run(weir_remote *farm, weir_job *job, weir_main *loop, const char *line)
{
    char             name[20];
    unsigned         size, n;
    weir_job_options how = {.size = sizeof how, .deliver_to = loop, .content_type = type};
    if (sscanf(line, "%19s %u %u", name, &size, &n) != 3) {
        must(weir_remote_cancel(job));
        return;
    }
    unsigned char *bytes = malloc(size + 20), *at = bytes;
    *at++ = 0x92;
    at += put(at, 0xdb, size);
    memset(at, 'x', size);
    at += size;
    at += put(at, 0xce, n);
    *job = (weir_job){.done = done};
    must(weir_remote_run(farm, job, name, bytes, (size_t)(at - bytes), &how));
    free(bytes);
}

static void client(const char *url)
{
    weir_remote        *farm;
    weir_main          *loop;
    weir_remote_options o = options(url);
    weir_job            job = {.done = done};
    char                line[100];
    must(weir_main_open(&loop));
    must(weir_remote_open(&farm, &o));
    printf("ready\n");
    struct pollfd on[2] = {{.fd = 0, .events = POLLIN},
                           {.fd = weir_main_fd(loop), .events = POLLIN}};
    while (poll(on, 2, -1) > 0) {
        weir_main_dispatch(loop, 0);
        if (!on[0].revents)
            continue;
        ssize_t got = read(0, line, sizeof line - 1); /* the other side waits for each line */
        if (got <= 0)
            break;
        line[got] = 0;
        run(farm, &job, loop, line);
    }
    must(weir_remote_close(farm, WEIR_REMOTE_DRAIN, loop, -1));
    weir_main_close(loop, 0);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc != 3)
        return 2;
    (strcmp(argv[1], "worker") == 0 ? worker : client)(argv[2]);
    printf("ended\n");
    return 0;
}
