/* SPDX-License-Identifier: ISC
 *
 * test_publish.c: weir_publish, and what a reader of its socket sees.
 */
#include "harness.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char folder[] = "/tmp/weir-publish-XXXXXX", text[1 << 16];

static void make_folder(void)
{
    strcpy(folder + sizeof folder - 7, "XXXXXX");
    expect(mkdtemp(folder) != NULL);
}

static const char *path_of(pid_t pid)
{
    static char path[100];
    snprintf(path, sizeof path, "%s/weir-%ld", folder, (long)pid);
    return path;
}

static bool is_there(pid_t pid)
{
    struct stat s;
    return lstat(path_of(pid), &s) == 0;
}

static int connected(pid_t pid)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int                fd;
    do /* the sweep refuses this as well */
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    while (fd < 0 && fault_injected());
    snprintf(a.sun_path, sizeof a.sun_path, "%s", path_of(pid));
    expect_eq(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

/* Whether the process said all; it says nothing if it has no memory. */
static bool gets_all(pid_t pid)
{
    int     fd = connected(pid);
    size_t  length = 0;
    ssize_t n;
    while ((n = recv(fd, text + length, sizeof text - length - 1, 0)) > 0)
        length += (size_t)n;
    text[length] = 0;
    close(fd);
    return length > 4 && strcmp(text + length - 4, "end\n") == 0;
}

static void look(pid_t pid) { expect(gets_all(pid)); }

/* A line that begins so and has each of the words. */
static bool has(const char *kind, const char *word, const char *other)
{
    char copy[sizeof text], *rest;
    strcpy(copy, text);
    for (char *line = strtok_r(copy, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        if (strncmp(line, kind, strlen(kind)) == 0 && strstr(line, word) && strstr(line, other))
            return true;
    return false;
}

/* Where no socket can be made, that is WEIR_EINVAL. */
static int refusal_of_publish(void)
{
    int rc = weir_publish(folder);
    return rc == WEIR_EINVAL && fault_injected() ? WEIR_EMFILE : rc;
}

SCENARIO(who_connects_reads_one_snapshot)
{
    rig               r;
    plug              p;
    weir_pool_options opts = pool_of(1);
    opts.name = "a b%\n";
    make_folder();
    if (given(refusal_of_publish())) {
        if (rig_open_with(&r, &opts) && plug_in(&p, r.p, r.m)) {
            if (given(gets_all(getpid()) ? 0 : WEIR_ENOMEM)) {
                expect(has("weir version=" WEIR_VERSION, "pid=", "now_ns="));
                expect(has("pool threads=1 ", "running=1 ", " name=a%20b%25%0a"));
                expect(has("task ns=", " thread=0 parked=0 stop=0", " label="));
                expect(has("main thread=", " pending=1 ", " lag_ns="));
            }
            plug_pull(&p);
        }
        rig_close(&r);
        weir_unpublish();
    }
    expect(!is_there(getpid()));
    expect_eq(rmdir(folder), 0);
}

TEST(a_label_and_the_times_of_a_pool_that_measures_are_there)
{
    rig               r;
    weir_pool_options opts = pool_of(1);
    probe             first = PROBE;
    opts.measure = true;
    make_folder();
    expect_eq(weir_publish(folder), 0);
    expect(rig_open_with(&r, &opts));
    first.task.done = NULL;
    expect_eq(weir_run(r.p, &first.task, NULL), 0);
    expect_eq(weir_wait(&first.task, -1), 0);
    expect_eq(weir_close(r.p, WEIR_CLOSE), 0);
    look(getpid());
    expect(has("times of=queue ", "=1", ""));
    expect(has("times of=run ", "=1", ""));
    rig_close(&r);
    weir_unpublish();
    expect_eq(rmdir(folder), 0);
}

TEST(a_process_is_published_once)
{
    make_folder();
    expect_eq(weir_publish(folder), 0);
    expect_eq(weir_publish(folder), WEIR_EBUSY);
    look(getpid());
    weir_unpublish();
    weir_unpublish();
    expect_eq(weir_publish(folder), 0);
    look(getpid());
    weir_unpublish();
    expect_eq(rmdir(folder), 0);
}

TEST(what_is_no_folder_is_refused)
{
    char long_one[200] = "/";
    memset(long_one + 1, 'x', sizeof long_one - 2);
    unsetenv("XDG_RUNTIME_DIR");
    expect_eq(weir_publish(NULL), WEIR_EINVAL);
    expect_eq(weir_publish("here"), WEIR_EINVAL);
    expect_eq(weir_publish("/no/such/folder"), WEIR_EINVAL);
    expect_eq(weir_publish(long_one), WEIR_EINVAL);
}

TEST(without_a_folder_it_is_the_users)
{
    make_folder();
    setenv("XDG_RUNTIME_DIR", folder, 1);
    expect_eq(weir_publish(NULL), 0);
    expect(is_there(getpid()));
    weir_unpublish();
    unsetenv("XDG_RUNTIME_DIR");
    expect_eq(rmdir(folder), 0);
}

TEST(nobody_else_may_connect_whatever_the_umask)
{
    struct stat s;
    mode_t      before = umask(0);
    make_folder();
    expect_eq(weir_publish(folder), 0);
    expect_eq(lstat(path_of(getpid()), &s), 0);
    expect(S_ISSOCK(s.st_mode));
    expect_eq(s.st_mode & 0777, 0600);
    umask(before);
    weir_unpublish();
    expect_eq(rmdir(folder), 0);
}

TEST(what_a_process_of_that_number_has_left_is_replaced)
{
    make_folder();
    FILE *left = fopen(path_of(getpid()), "w");
    expect(left && fclose(left) == 0);
    expect_eq(weir_publish(folder), 0);
    look(getpid());
    weir_unpublish();
    expect_eq(rmdir(folder), 0);
}

TEST(a_reader_that_waits_holds_up_no_end)
{
    make_folder();
    expect_eq(weir_publish(folder), 0);
    int first = connected(getpid()), second = connected(getpid());
    weir_unpublish();
    close(first), close(second);
    expect_eq(rmdir(folder), 0);
}

enum { PARKED = 300 };

TEST(a_reader_that_never_reads_is_left_after_a_while)
{
    static parker    k[PARKED];
    static char      label[1000];
    rig              r;
    weir_run_options o = {.size = sizeof o, .label = label};
    memset(label, 'x', sizeof label - 1);
    expect(rig_open(&r, 1));
    for (int i = 0; i < PARKED; i++) {
        k[i] = parking(1);
        expect_eq(weir_run_with(r.p, &k[i].p.task, &o), 0);
    }
    for (int i = 0; i < PARKED; i++)
        until_parked(&k[i].p.task);
    make_folder();
    expect_eq(weir_publish(folder), 0);
    int fd = connected(getpid());
    while (!readable(fd)) /* it writes more than a socket holds */
        sched_yield();
    weir_unpublish();
    close(fd);
    expect_eq(rmdir(folder), 0);
    rig_close(&r);
}

enum { NOBODY = 65534 };

static void nobody_reads(void *parent)
{
    expect(setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
    expect(!gets_all(*(pid_t *)parent));
    expect_eq(text[0], 0);
}

TEST(another_user_reads_nothing_wherever_the_socket_is)
{
    pid_t self = getpid();
    if (geteuid() != 0) /* who may not become another */
        return;
    make_folder();
    expect_eq(weir_publish(folder), 0);
    expect(chmod(folder, 0755) == 0 && chmod(path_of(self), 0666) == 0);
    child_reap(child_start(nobody_reads, &self));
    look(self);
    weir_unpublish();
    expect_eq(rmdir(folder), 0);
}

typedef struct {
    pid_t pid;
    int   fds; /* before it published itself */
} process;

static void child_publishes_itself(void *arg)
{
    process *parent = arg;
    expect_eq(count_fds(), parent->fds);
    expect_eq(weir_publish(folder), 0);
    look(getpid());
    look(parent->pid);
    weir_unpublish();
    expect(!is_there(getpid()) && is_there(parent->pid));
}

TEST(a_child_of_fork_is_not_published_and_may_publish_itself)
{
    process parent = {getpid(), count_fds()};
    if (under_tsan()) /* it takes a reused thread id for an error */
        return;
    make_folder();
    expect_eq(weir_publish(folder), 0);
    child_reap(child_start(child_publishes_itself, &parent));
    look(parent.pid);
    weir_unpublish();
    expect_eq(rmdir(folder), 0);
}

static void child_is_asked(void *value)
{
    rig r;
    setenv("WEIR_TOP", value, 1);
    setenv("XDG_RUNTIME_DIR", folder, 1);
    expect(rig_open(&r, 1));
    expect_eq(is_there(getpid()), strcmp(value, "0") != 0);
    rig_close(&r);
    weir_unpublish();
}

TEST(the_first_pool_publishes_where_the_environment_asks_for_it)
{
    char one[] = "1", no[] = "0";
    if (under_tsan()) /* it takes a reused thread id for an error */
        return;
    make_folder();
    expect_eq(weir_publish(folder), 0); /* a child forgets what this process has done */
    child_reap(child_start(child_is_asked, one));
    child_reap(child_start(child_is_asked, folder));
    child_reap(child_start(child_is_asked, no));
    weir_unpublish();
    expect_eq(rmdir(folder), 0);
}

typedef struct {
    const char *value, *said;
} told;

static void child_is_told(void *arg)
{
    const told *t = arg;
    rig         r;
    char        said[400] = "";
    FILE       *caught = tmpfile();
    setenv("XDG_RUNTIME_DIR", folder, 1);
    if (strcmp(t->value, "1") == 0)
        unsetenv("XDG_RUNTIME_DIR");
    setenv("WEIR_TOP", t->value, 1);
    expect(caught && dup2(fileno(caught), STDERR_FILENO) == STDERR_FILENO);
    expect(rig_open(&r, 1));
    expect(pread(fileno(caught), said, sizeof said - 1, 0) > 0);
    expect(strstr(said, t->said));
    rig_close(&r);
    fclose(caught);
}

TEST(what_the_environment_asks_for_in_vain_is_said)
{
    told one = {"1",
                "WEIR_TOP=1: there is no $XDG_RUNTIME_DIR; name a folder by its absolute path\n"};
    told nowhere = {"/no/such/folder", ": no socket there for weir-top: there is no such folder\n"};
    told relative = {"./x", "weir: WEIR_TOP=./x: name the folder by its absolute path\n"};
    if (under_tsan())
        return;
    make_folder();
    expect_eq(weir_publish(folder), 0); /* a child forgets what this process has done */
    child_reap(child_start(child_is_told, &one));
    child_reap(child_start(child_is_told, &nowhere));
    child_reap(child_start(child_is_told, &relative));
    weir_unpublish();
    expect_eq(rmdir(folder), 0);
}

PROGRAM(publishes_and_leaves)
{
    strcpy(folder, getenv("XDG_RUNTIME_DIR"));
    expect_eq(weir_publish(NULL), 0);
    expect(is_there(getpid()));
}

TEST(a_program_that_ends_leaves_no_name)
{
    if (under_emulator())
        return;
    make_folder();
    setenv("XDG_RUNTIME_DIR", folder, 1);
    child_reap(program_start("publishes_and_leaves"));
    unsetenv("XDG_RUNTIME_DIR");
    expect_eq(rmdir(folder), 0);
}

static _Atomic bool publishes;

static void publishes_and_ends(void *arg)
{
    while (publishes) {
        int rc = weir_publish(arg);
        expect(rc == 0 || rc == WEIR_EBUSY);
        weir_unpublish();
    }
}

TEST(several_threads_may_begin_and_end_it)
{
    helper h[2];
    make_folder();
    publishes = true;
    for (int i = 0; i < 2; i++)
        helper_start(&h[i], publishes_and_ends, folder);
    for (unsigned i = 0; i < scaled(2000); i++) {
        weir_publish(folder);
        weir_unpublish();
    }
    publishes = false;
    for (int i = 0; i < 2; i++)
        helper_join(&h[i]);
    weir_unpublish();
    expect_eq(weir_publish(folder), 0);
    look(getpid());
    weir_unpublish();
    expect_eq(rmdir(folder), 0);
}

SUITE(publish, who_connects_reads_one_snapshot,
      a_label_and_the_times_of_a_pool_that_measures_are_there, a_process_is_published_once,
      what_is_no_folder_is_refused, without_a_folder_it_is_the_users,
      nobody_else_may_connect_whatever_the_umask,
      what_a_process_of_that_number_has_left_is_replaced, a_reader_that_waits_holds_up_no_end,
      a_reader_that_never_reads_is_left_after_a_while,
      another_user_reads_nothing_wherever_the_socket_is,
      a_child_of_fork_is_not_published_and_may_publish_itself,
      the_first_pool_publishes_where_the_environment_asks_for_it,
      what_the_environment_asks_for_in_vain_is_said, a_program_that_ends_leaves_no_name,
      several_threads_may_begin_and_end_it)
