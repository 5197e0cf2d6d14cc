/* SPDX-License-Identifier: ISC
 *
 * The file of weir_remote_trace: whole, and with one flow for a job and its request.
 */
#include "rig.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct {
    size_t        n;
    unsigned char bytes[65536];
} file_of;

static void read_trace(file_of *f, const char *path)
{
    FILE *file = fopen(path, "re");
    expect(file != NULL);
    f->n = fread(f->bytes, 1, sizeof f->bytes, file);
    fclose(file);
}

static uint64_t varint(const file_of *f, size_t *at)
{
    uint64_t v = 0;
    int      shift = 0;
    do {
        expect_op(*at, <, f->n);
        v |= (uint64_t)(f->bytes[*at] & 127) << shift;
        shift += 7;
    } while (f->bytes[(*at)++] & 128);
    return v;
}

/* Packets that fill the file to its last byte. */
static int count_packets(const file_of *f)
{
    int n = 0;
    for (size_t at = 0; at < f->n; n++) {
        expect_eq(varint(f, &at), 1 << 3 | 2);
        uint64_t length = varint(f, &at);
        at += length;
        expect_op(at, <=, f->n);
    }
    return n;
}

static int count_text(const file_of *f, const void *text, size_t size)
{
    int n = 0;
    for (size_t i = 0; i + size <= f->n; i++)
        n += !memcmp(f->bytes + i, text, size);
    return n;
}

/* Field 47, eight bytes: the flow. Its key is 47 << 3 | 1 = 377. */
static int count_flows(const file_of *f)
{
    static const unsigned char key[] = {0xf9, 0x02};
    for (size_t i = 0; i + 10 <= f->n; i++)
        if (!memcmp(f->bytes + i, key, 2))
            return count_text(f, f->bytes + i, 10);
    return 0;
}

TEST(a_job_and_its_request_have_one_flow)
{
    static file_of      f;
    yard                y;
    char                path[] = "/tmp/weir-remote-trace-XXXXXX";
    errand              e = ERRAND, untraced = ERRAND;
    weir_handler        h = {"echo", echo, 0};
    weir_remote_options o = options_of("local:");
    close(mkstemp(path));
    expect_eq(weir_remote_trace(path), 0);
    expect_eq(weir_remote_trace(path), WEIR_EBUSY);
    expect(yard_open(&y, &o, &h, 1));
    expect_eq(ask(y.farm, &e, y.m, "echo", "x"), 0);
    char *id = e.job.id;
    expect_eq(weir_remote_close(y.farm, WEIR_REMOTE_DRAIN, y.m, -1), 0);
    expect_eq(weir_remote_trace(NULL), 0);
    read_trace(&f, path);
    unlink(path);
    expect_eq(count_packets(&f), 1 + 2 * 3); /* the process; a track, begin and end for each */
    expect_eq(count_text(&f, id, 36), 2);
    expect_eq(count_flows(&f), 2);
    expect_eq(weir_remote_open(&y.farm, &o), 0);
    expect_eq(ask(y.farm, &untraced, y.m, "echo", "x"), WEIR_REMOTE_ENAME);
    yard_close(&y);
}

/* Its file is what had been written when it died: more than one buffer, and no half packet. */
static void traces_and_dies(void *path)
{
    yard                y;
    weir_handler        h = {"echo", echo, 0};
    weir_remote_options o = options_of("local:");
    expect_eq(weir_remote_trace(path), 0);
    expect(yard_open(&y, &o, &h, 1));
    for (int i = 0; i < 100; i++) {
        errand e = ERRAND;
        expect_eq(ask(y.farm, &e, y.m, "echo", "x"), 0);
    }
    kill(getpid(), SIGKILL);
}

/* What a child leaves that runs fn(path); returns how it ended. */
static int trace_of_child(file_of *f, void (*fn)(void *path))
{
    char path[] = "/tmp/weir-remote-trace-XXXXXX";
    int  status;
    close(mkstemp(path));
    pid_t pid = child_start(fn, path);
    expect_eq(waitpid(pid, &status, 0), pid);
    read_trace(f, path);
    unlink(path);
    return status;
}

TEST(the_trace_of_a_process_that_is_killed_has_only_whole_packets)
{
    static file_of f;
    int            status = trace_of_child(&f, traces_and_dies);
    expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    expect_op(f.n, >, 8192);
    expect_op(f.n, <, sizeof f.bytes);
    expect_op(count_packets(&f), >, 1);
}

/* Nobody ends the trace: the end of the program does, and a child's end adds nothing. */
static void traces_and_exits(void *path)
{
    expect_eq(weir_remote_trace(path), 0);
    pid_t pid = fork();
    if (pid)
        expect_eq(waitpid(pid, NULL, 0), pid);
    exit(0);
}

TEST(the_trace_of_a_process_that_exits_is_whole_and_its_own)
{
    static file_of f;
    expect_eq(trace_of_child(&f, traces_and_exits), 0);
    expect_eq(count_packets(&f), 1);
}

TEST(a_disk_that_is_full_is_told_at_the_end)
{
    expect_eq(weir_remote_trace("/dev/full"), 0);
    expect_eq(weir_remote_trace(NULL), WEIR_EINVAL);
    expect(has(weir_remote_error(), "not whole"));
    expect_eq(weir_remote_trace(NULL), 0);
}

static void make_trace(file_of *f)
{
    char path[] = "/tmp/weir-remote-trace-XXXXXX";
    close(mkstemp(path));
    expect_eq(weir_remote_trace(path), 0);
    expect_eq(weir_remote_trace(NULL), 0);
    read_trace(f, path);
    unlink(path);
}

/* Process 1 of another container has the same number. */
TEST(two_files_of_one_process_number_have_no_track_in_common)
{
    static file_of a, b;
    make_trace(&a);
    make_trace(&b);
    expect_eq(count_packets(&a), 1);
    expect(a.n != b.n || memcmp(a.bytes, b.bytes, a.n) != 0);
}

TEST(a_trace_that_cannot_be_written_says_why)
{
    expect_eq(weir_remote_trace("/no/such/folder/trace"), WEIR_EINVAL);
    expect(has(weir_remote_error(), "/no/such/folder/trace"));
    expect_eq(weir_remote_trace(NULL), 0);
}

SUITE(trace, a_job_and_its_request_have_one_flow,
      the_trace_of_a_process_that_is_killed_has_only_whole_packets,
      the_trace_of_a_process_that_exits_is_whole_and_its_own,
      a_disk_that_is_full_is_told_at_the_end,
      two_files_of_one_process_number_have_no_track_in_common,
      a_trace_that_cannot_be_written_says_why)
