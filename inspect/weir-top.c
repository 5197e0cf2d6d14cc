/* SPDX-License-Identifier: ISC
 *
 * weir-top.c: a live view of a process that lets itself be looked at, see weir_publish.
 *
 * It connects to the process' socket for each picture, reads the text to its end, and draws it.
 * What comes from there is data of another program: control characters are not drawn.
 */
#define _GNU_SOURCE
#include <stdio.h>

#ifndef __linux__
int main(void) { return fputs("weir-top: processes can be looked at on Linux only\n", stderr), 1; }
#else
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { MOST_POOLS = 256, MOST_TASKS = 4096, MOST_MAINS = 64, BUCKETS = 300, NAME = 100 };

/* ---- what the process said ----------------------------------------------------- */

typedef struct {
    double   upper[BUCKETS]; /* in ns */
    uint64_t count[BUCKETS];
    int      n;
} times;

typedef struct {
    char   name[NAME];
    long   threads, running, queued, parked, lost;
    double submitted, ended, failed, refused, queued_ns;
    times  queue, run;
} pool;

typedef struct {
    const pool *of;
    char        label[NAME];
    double      ns;
    long        thread, parked, stop, blocking;
} task;

typedef struct {
    long   thread, pending;
    double lag_ns, unturned_ns;
} loop;

typedef struct {
    double now_ns; /* 0: there is none */
    pool   pools[MOST_POOLS];
    task   tasks[MOST_TASKS];
    loop   loops[MOST_MAINS];
    int    n_pools, n_tasks, n_loops;
    bool   whole;
} picture;

/* Undoes the percents, and what could move the cursor becomes a question mark. */
static void decode(char *out, const char *in)
{
    size_t n = 0;
    for (unsigned hex; *in && n < NAME - 1; n++) {
        if (*in == '%' && sscanf(in + 1, "%2x", &hex) == 1 && in[1] && in[2])
            out[n] = (char)hex, in += 3;
        else
            out[n] = *in++;
        unsigned char c = (unsigned char)out[n];
        bool          c1 = n && (unsigned char)out[n - 1] == 0xc2 && c < 0xa0 && c >= 0x80;
        if (c < ' ' || c == 0x7f || c1)
            out[n] = '?';
    }
    out[n] = 0;
}

/* Where the value of a key goes: a long, a double or a name. */
typedef struct {
    const char *key;
    enum { WHOLE, REAL, TEXT } kind;
    size_t at;
} field;

#define FIELD(type, kind, name)                                                                    \
    {                                                                                              \
#name, kind, offsetof(type, name)                                                          \
    }
static const field of_pool[] = {
    FIELD(pool, TEXT, name),      FIELD(pool, WHOLE, threads), FIELD(pool, WHOLE, running),
    FIELD(pool, WHOLE, queued),   FIELD(pool, WHOLE, parked),  FIELD(pool, WHOLE, lost),
    FIELD(pool, REAL, submitted), FIELD(pool, REAL, ended),    FIELD(pool, REAL, failed),
    FIELD(pool, REAL, refused),   FIELD(pool, REAL, queued_ns)};
static const field of_task[] = {FIELD(task, TEXT, label),   FIELD(task, REAL, ns),
                                FIELD(task, WHOLE, thread), FIELD(task, WHOLE, parked),
                                FIELD(task, WHOLE, stop),   FIELD(task, WHOLE, blocking)};
static const field of_loop[] = {FIELD(loop, WHOLE, thread), FIELD(loop, WHOLE, pending),
                                FIELD(loop, REAL, lag_ns), FIELD(loop, REAL, unturned_ns)};
static const field of_all[] = {FIELD(picture, REAL, now_ns)};

/* A line's struct and its fields, or the histograms of a pool. */
typedef struct {
    void        *into;
    const field *fields;
    size_t       n;
    times       *queue, *run, *now;
} target;

static void set(target *t, const char *key, const char *value)
{
    for (size_t i = 0; i < t->n; i++) {
        char *place = (char *)t->into + t->fields[i].at;
        if (strcmp(key, t->fields[i].key) != 0)
            continue;
        switch (t->fields[i].kind) {
        case WHOLE: *(long *)(void *)place = atol(value); break;
        case REAL: *(double *)(void *)place = atof(value); break;
        case TEXT: decode(place, value); break;
        }
    }
    if (t->queue && strcmp(key, "of") == 0) {
        t->now = strcmp(value, "run") == 0 ? t->run : t->queue;
    } else if (t->now && t->now->n < BUCKETS) {
        t->now->upper[t->now->n] = atof(key);
        t->now->count[t->now->n++] = strtoull(value, NULL, 10);
    }
}

/* What a line of that kind is about; nothing for one that is unknown, or too many. */
static target target_of(picture *w, const char *kind)
{
#define ABOUT(place, list)                                                                         \
    ((target){.into = (place), .fields = list, .n = sizeof list / sizeof *list})
    pool *last = w->n_pools ? &w->pools[w->n_pools - 1] : NULL;
    if (strcmp(kind, "weir") == 0)
        return ABOUT(w, of_all);
    if (strcmp(kind, "pool") == 0 && w->n_pools < MOST_POOLS)
        return ABOUT(&w->pools[w->n_pools++], of_pool);
    if (strcmp(kind, "main") == 0 && w->n_loops < MOST_MAINS)
        return ABOUT(&w->loops[w->n_loops++], of_loop);
    if (strcmp(kind, "times") == 0 && last)
        return (target){.queue = &last->queue, .run = &last->run};
    if (strcmp(kind, "task") != 0 || !last || w->n_tasks == MOST_TASKS)
        return (target){0};
    w->tasks[w->n_tasks].of = last;
    return ABOUT(&w->tasks[w->n_tasks++], of_task);
}

static void read_line(picture *w, char *line)
{
    char  *rest, *kind = strtok_r(line, " ", &rest);
    target t = kind ? target_of(w, kind) : (target){0};
    w->whole |= kind && strcmp(kind, "end") == 0;
    for (char *word, *value; kind && (word = strtok_r(NULL, " ", &rest));)
        if ((value = strchr(word, '='))) {
            *value = 0;
            set(&t, word, value + 1);
        }
}

/* ---- asking --------------------------------------------------------------------- */

static int connect_to(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int                fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_sec = 5}, sizeof(struct timeval));
    if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
        return fd;
    close(fd);
    return -1;
}

/* False: the process is not there, or said only a part. */
static bool ask(const char *path, picture *w)
{
    char  *line = NULL;
    size_t size = 0;
    FILE  *in;
    int    fd = connect_to(path);
    memset(w, 0, sizeof *w);
    if (fd < 0 || !(in = fdopen(fd, "r")))
        return false;
    for (ssize_t n; !w->whole && (n = getline(&line, &size, in)) > 0;) {
        line[strcspn(line, "\n")] = 0;
        read_line(w, line);
    }
    free(line);
    fclose(in);
    return w->whole;
}

/* The same. A process that lives, and has no socket, may just have begun: it gets two seconds. */
static bool ask_when_there(long pid, const char *path, picture *w)
{
    for (int left = 100; !ask(path, w) && left > 0; left--, poll(NULL, 0, 20))
        if ((errno != ENOENT && errno != ECONNREFUSED) || (kill((pid_t)pid, 0) && errno != EPERM))
            break;
    return w->whole;
}

/* ---- drawing -------------------------------------------------------------------- */

typedef struct {
    FILE *out;
    int   columns, rows, row; /* columns 0: no limit */
} screen;

/* One line, cut at the screen's edge between two characters. Nothing below its last row. */
__attribute__((format(printf, 2, 3))) static void draw(screen *s, const char *format, ...)
{
    char    line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (s->columns && s->row >= s->rows)
        return;
    int column = 0;
    for (char *c = line; *c; c++)
        if (((unsigned char)*c & 0xc0) != 0x80 && s->columns && ++column > s->columns)
            *c = 0, c--;
    if (s->columns)
        fprintf(s->out, "%s%s\033[K", s->row ? "\r\n" : "", line);
    else
        fprintf(s->out, "%s\n", line);
    s->row++;
}

static const char *length(char out[16], double ns)
{
    static const char *const units[] = {"ns", "us", "ms", "s"};
    int                      u = 0;
    for (; u < 3 && ns >= 1e3; u++)
        ns /= 1e3;
    snprintf(out, 16, "%.*f %s", u == 3, ns, units[u]);
    return out;
}

/* The time that so many percent of those counted are shorter than, as its bucket's upper bound.
 * What `before` had counted is left out. */
static double percentile(const times *t, const times *before, double percent)
{
    double count[BUCKETS], sum = 0, below = 0;
    for (int i = 0, j = 0; i < t->n; i++) {
        while (before && j < before->n && before->upper[j] < t->upper[i])
            j++;
        bool old = before && j < before->n && before->upper[j] == t->upper[i];
        sum += count[i] = (double)(t->count[i] - (old ? before->count[j] : 0));
    }
    for (int i = 0; i < t->n; i++)
        if (sum > 0 && (below += count[i]) >= sum * percent / 100)
            return t->upper[i];
    return -1;
}

static void draw_times(screen *s, const char *name, const times *t, const times *before)
{
    char a[16], b[16], c[16];
    if (!t->n)
        return;
    if (percentile(t, before, 50) < 0) /* nothing since then: since the start */
        before = NULL;
    draw(s, "  %-5s 50 %% below %s, 90 %% below %s, 99 %% below %s%s", name,
         length(a, percentile(t, before, 50)), length(b, percentile(t, before, 90)),
         length(c, percentile(t, before, 99)), before ? "" : " (since the pool opened)");
}

static const pool *same(const picture *before, const picture *now, const pool *p)
{
    int i = (int)(p - now->pools);
    if (before->now_ns > 0 && i < before->n_pools && strcmp(before->pools[i].name, p->name) == 0 &&
        before->pools[i].submitted <= p->submitted)
        return &before->pools[i];
    return NULL;
}

static void draw_pool(screen *s, const picture *now, const picture *before, const pool *p)
{
    const pool *b = same(before, now, p);
    char        oldest[16];
    double      seconds = (now->now_ns - before->now_ns) / 1e9;
    double      rate = b && seconds > 0 ? (p->ended - b->ended) / seconds : 0;
    draw(s, "%-16.16s %7ld %7ld %7ld %10s %7ld %10.1f %9.0f %8.0f", p->name, p->threads, p->running,
         p->queued, p->queued ? length(oldest, p->queued_ns) : "-", p->parked, rate, p->failed,
         p->refused);
    if (p->lost)
        draw(s, "  lost  %ld more threads, in tasks that were given up", p->lost);
    draw_times(s, "queue", &p->queue, b ? &b->queue : NULL);
    draw_times(s, "run", &p->run, b ? &b->run : NULL);
}

static int older(const void *a, const void *b)
{
    double x = ((const task *)a)->ns, y = ((const task *)b)->ns;
    return (x < y) - (x > y);
}

static void draw_task(screen *s, const task *t)
{
    char age[16], where[NAME + 20];
    if (t->parked)
        snprintf(where, sizeof where, "%s, parked", t->of->name);
    else if (t->thread < 0)
        snprintf(where, sizeof where, "%s, submitter", t->of->name);
    else
        snprintf(where, sizeof where, "%s/%ld", t->of->name, t->thread);
    draw(s, "%9s  %-24s %s%s%s", length(age, t->ns), where, t->label[0] ? t->label : "(no label)",
         t->stop ? ", asked to stop" : "", t->blocking ? ", waits inside weir" : "");
}

static void draw_loop(screen *s, const loop *l)
{
    char a[16], b[16];
    draw(s, "loop of thread %ld: %ld pending%s%s%s%s", l->thread, l->pending,
         l->lag_ns > 0 ? ", a delivery waits for " : "", l->lag_ns > 0 ? length(a, l->lag_ns) : "",
         l->unturned_ns > 0 ? ", has not turned for " : "",
         l->unturned_ns > 0 ? length(b, l->unturned_ns) : "");
}

static void draw_all(screen *s, long pid, picture *now, const picture *before)
{
    draw(s, "weir-top: process %ld, %d pool%s, %d task%s begun; q quits", pid, now->n_pools,
         now->n_pools == 1 ? "" : "s", now->n_tasks, now->n_tasks == 1 ? "" : "s");
    for (int i = 0; i < now->n_loops; i++)
        draw_loop(s, &now->loops[i]);
    draw(s, "%-16s %7s %7s %7s %10s %7s %10s %9s %8s", "POOL", "THREADS", "RUNNING", "QUEUED",
         "OLDEST", "PARKED", "ENDED/S", "FAILED", "REFUSED");
    for (int i = 0; i < now->n_pools; i++)
        draw_pool(s, now, before, &now->pools[i]);
    if (now->n_tasks)
        draw(s, "%9s  %-24s %s", "AGE", "THREAD", "TASK");
    qsort(now->tasks, (size_t)now->n_tasks, sizeof *now->tasks, older);
    for (int i = 0; i < now->n_tasks; i++)
        draw_task(s, &now->tasks[i]);
}

/* ---- the terminal --------------------------------------------------------------- */

static struct termios        cooked;
static volatile sig_atomic_t is_raw, was_resized, ends;
static sigset_t              others; /* the signals that are blocked but in a wait are not in it */

static void leave_screen(void)
{
    if (is_raw) {
        is_raw = 0;
        fputs("\033[?25h\033[?1049l", stdout);
        fflush(stdout);
        tcsetattr(STDIN_FILENO, TCSANOW, &cooked);
    }
}

static void enter_screen(void)
{
    tcgetattr(STDIN_FILENO, &cooked);
    struct termios raw = cooked;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    is_raw = 1;
    fputs("\033[?1049h\033[?25l", stdout);
}

static void on_signal(int sig)
{
    was_resized |= sig == SIGWINCH;
    ends |= sig != SIGWINCH;
}

/* They come while it waits, and never while it asks, which they would cut off. */
static void catch_signals(void)
{
    const int signals[] = {SIGWINCH, SIGINT, SIGTERM, SIGHUP};
    sigset_t  ours;
    sigemptyset(&ours);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        sigaddset(&ours, signals[i]);
        sigaction(signals[i], &(struct sigaction){.sa_handler = on_signal}, NULL);
    }
    sigprocmask(SIG_BLOCK, &ours, &others);
}

static screen the_screen(void)
{
    struct winsize size = {0};
    ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    return (screen){stdout, size.ws_col ? size.ws_col : 80, size.ws_row ? size.ws_row : 24, 0};
}

static void show(long pid, picture *now, const picture *before)
{
    screen s = the_screen();
    fputs("\033[H", stdout);
    draw_all(&s, pid, now, before);
    fputs("\033[J", stdout);
    fflush(stdout);
}

static int64_t now_ms(void)
{
    struct timespec t;
    return clock_gettime(CLOCK_MONOTONIC, &t), (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Until then, or a resize. False: the user quits. */
static bool wait_until(int64_t moment)
{
    char key;
    for (int64_t left; !ends && !was_resized && (left = moment - now_ms()) > 0;) {
        struct pollfd   in = {STDIN_FILENO, POLLIN, 0};
        struct timespec limit = {left / 1000, left % 1000 * 1000000};
        if (ppoll(&in, 1, &limit, &others) > 0 && (read(STDIN_FILENO, &key, 1) < 1 || key == 'q'))
            return false;
    }
    return !ends;
}

/* ---- the program ---------------------------------------------------------------- */

__attribute__((format(printf, 1, 2))) static _Noreturn void refuse(const char *format, ...)
{
    va_list args;
    leave_screen();
    fputs("weir-top: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

static int live(long pid, const char *path, picture *now, picture *before, double seconds)
{
    catch_signals();
    enter_screen();
    for (bool goes_on = true; goes_on;) {
        int64_t next = now_ms() + (int64_t)(seconds * 1000);
        show(pid, now, before);
        for (; (goes_on = wait_until(next)) && was_resized; was_resized = 0)
            show(pid, now, before);
        if (!goes_on)
            break;
        memcpy(before, now, sizeof *before);
        if (!ask(path, now))
            refuse("process %ld has ended, or is not published any more", pid);
    }
    leave_screen();
    return 0;
}

static const char *usage = "usage: weir-top [-1] [-s SECONDS] [-d FOLDER] PID\n"
                           "  shows what the pools of a process do that runs with WEIR_TOP=1\n"
                           "  -1  prints it once      -s  looks so often (1)\n"
                           "  -d  the folder that WEIR_TOP names there ($XDG_RUNTIME_DIR)\n";

int main(int argc, char **argv)
{
    const char    *folder = getenv("XDG_RUNTIME_DIR");
    static picture now, before;
    char           path[4096], absolute[4096], *end = NULL;
    double         seconds = 1;
    bool           once = !isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO);
    for (int option; (option = getopt(argc, argv, "1s:d:h")) != -1;)
        switch (option) {
        case '1': once = true; break;
        case 's': seconds = atof(optarg); break;
        case 'd': folder = optarg; break;
        case 'h': fputs(usage, stdout); return 0;
        default: fputs(usage, stderr); return 2;
        }
    long pid = optind + 1 == argc ? strtol(argv[optind], &end, 10) : 0;
    if (pid <= 0 || *end || !(seconds >= 0.1 && seconds <= 3600))
        return fputs(usage, stderr), 2;
    if (!folder)
        refuse("no $XDG_RUNTIME_DIR: start the program with WEIR_TOP=FOLDER, then -d FOLDER");
    snprintf(path, sizeof path, "%s/weir-%ld", folder, pid);
    if (strlen(path) >= sizeof((struct sockaddr_un *)0)->sun_path)
        refuse("%s: too long a path for a socket", path);
    if (access(folder, F_OK) != 0 && errno != EACCES)
        refuse("%s: %s", folder, strerror(errno));
    if (!ask_when_there(pid, path, &now) && errno == EACCES)
        refuse("%s: its own user alone may look at that process", path);
    if (!now.whole)
        refuse("no process %ld can be looked at in %s: start it with WEIR_TOP=%s", pid, folder,
               realpath(folder, absolute) ? absolute : folder);
    if (!once)
        return live(pid, path, &now, &before, seconds);
    return draw_all(&(screen){stdout, 0, 0, 0}, pid, &now, &before), 0;
}
#endif
