/* SPDX-License-Identifier: ISC
 *
 * stream.c: files that pool threads read from, and the end of the process.
 *
 * The C library locks a FILE while a read of it waits, and a process that ends takes the
 * lock of each: glibc from 2.41 on waits for it, so that a task which reads from a
 * terminal keeps the program; before, it went on without and raced with the reader. So
 * what a pool thread opens for reading gets a FILE with a read of ours around the one
 * that io made. It gives the lock back while it waits.
 *
 *     the reader                              the end of the process
 *     1. gives the lock back                  a. runs the handlers of atexit
 *     2. waits in read(2)                     b. sets `over`
 *     3. takes the lock                       c. takes each lock, changes the FILE
 *     4. sees `over`: stays for good, without the lock; else goes on with it
 *
 * A reader that does 3 after c sees `over` in 4, and never uses a FILE that was changed
 * under it. One that does 3 before c and goes on keeps the lock until it is done, or is
 * at 1 again; c waits for that.
 *
 * Standard input stays what it was, because its buffer is for whoever reads next: a reader
 * that waits for it keeps the end of the process. One that may do so (the console of
 * weir.thread) first waits here, without the lock, until there is something to read.
 *
 * A write keeps the lock: what it has written is not yet taken off the buffer then.
 *
 * A reader on musl cannot do 1: what stdio locked for itself it cannot have back. It
 * waits with the lock for what there is to read or for `ended`, which b makes readable,
 * gives the lock back then and stays. So fflush(NULL), which io.popen calls, waits there
 * for a task that reads; and a pipe that others read as well may still hold the end.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "io/io.h"
#include "weir.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__GLIBC__)
#define GIVES_LOCK_BACK
typedef off64_t place;
#define seek_fd lseek64
#define WRITE_FAILED(done) ((ssize_t)(done))
#elif defined(__linux__) && !defined(__ANDROID__) /* musl, which has no name of its own */
#define WAITS_FOR_END
typedef off_t place;
#define seek_fd lseek
#define WRITE_FAILED(done) ((void)(done), (ssize_t)-1)
#include <stdio_ext.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#endif

/* ---- a FILE around another ------------------------------------------------------- */

#if defined(GIVES_LOCK_BACK) || defined(WAITS_FOR_END)

typedef struct {
    FILE *face;  /* what Lua has */
    FILE *below; /* what io made: closed with it, and only its descriptor is used */
    int   fd;    /* of below */
} stream;

static void stay(void)
{
    for (;;)
        pause();
}

#ifdef GIVES_LOCK_BACK

static _Atomic bool over;

/* Destructors come after the handlers of atexit, in which a program may still wait for
 * a task, and before the C library's own end. */
__attribute__((destructor)) static void end(void) { atomic_store(&over, true); }

static ssize_t read_below(void *cookie, char *to, size_t n)
{
    const stream *s = cookie;
    funlockfile(s->face);
    ssize_t got = read(s->fd, to, n);
    int     error = errno;
    flockfile(s->face);
    if (atomic_load(&over)) {
        funlockfile(s->face);
        stay();
    }
    errno = error;
    return got;
}

/* C modules want to know a FILE's descriptor. */
static void show_fd(const stream *s) { s->face->_fileno = s->fd; }
static bool may_wait(int fd)
{
    (void)fd;
    return true;
}

#else

/* An eventfd, or -1. A child of fork makes its own: this one would end its parent's. */
static _Atomic int ended = -1;

static void forget_ended(void)
{
    int fd = atomic_exchange(&ended, -1);
    if (fd >= 0)
        close(fd);
}

static weir_fork_hook at_fork = {.in_child = forget_ended};

static bool make_ended(void)
{
    weir_on_fork(&at_fork);
    if (atomic_load(&ended) >= 0)
        return true;
    int none = -1, fd = wl_fd_above(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (fd >= 0 && !atomic_compare_exchange_strong(&ended, &none, fd))
        close(fd); /* another thread was faster */
    return atomic_load(&ended) >= 0;
}

__attribute__((destructor)) static void end(void)
{
    int fd = atomic_load(&ended);
    if (fd >= 0)
        (void)!write(fd, &(uint64_t){1}, sizeof(uint64_t));
}

/* Locked by stdio (a count of 0, which the first call makes 1) or by Lua as well (1). */
static void give_back(FILE *face)
{
    flockfile(face);
    funlockfile(face);
    funlockfile(face);
}

static ssize_t read_below(void *cookie, char *to, size_t n)
{
    const stream *s = cookie;
    struct pollfd fds[2] = {{.fd = s->fd, .events = POLLIN},
                            {.fd = atomic_load(&ended), .events = POLLIN}};
    if (poll(fds, 2, -1) < 0)
        return -1;
    if (fds[1].revents) {
        give_back(s->face);
        stay();
    }
    return read(s->fd, to, n);
}

/* There is no way to tell it. So what never waits stays what it was. */
static void show_fd(const stream *s) { (void)s; }
static bool may_wait(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode) && make_ended();
}

#endif

/* An error: errno, and less than n; for musl, which takes nothing else for one, -1. */
static ssize_t write_below(void *cookie, const char *from, size_t n)
{
    const stream *s = cookie;
    size_t        done = 0;
    while (done < n) {
        ssize_t more = write(s->fd, from + done, n - done);
        if (more < 0)
            return WRITE_FAILED(done);
        done += (size_t)more;
    }
    return (ssize_t)done;
}

static int seek_below(void *cookie, place *position, int whence)
{
    const stream *s = cookie;
    place         at = seek_fd(s->fd, *position, whence);
    if (at < 0)
        return -1;
    *position = at;
    return 0;
}

static int close_below(void *cookie)
{
    FILE *below = ((stream *)cookie)->below;
    free(cookie);
    return fclose(below);
}

/* A FILE in its place, or itself: without memory, and where nothing need be done. */
FILE *wl_stream_wrap(FILE *below, const char *mode)
{
    static const cookie_io_functions_t functions = {read_below, write_below, seek_below,
                                                    close_below};
    stream                            *s = may_wait(fileno(below)) ? malloc(sizeof *s) : NULL;
    if (!s)
        return below;
    *s = (stream){.below = below, .fd = fileno(below)};
    s->face = fopencookie(s, mode, functions);
    if (!s->face) {
        free(s);
        return below;
    }
    show_fd(s);
    return s->face;
}

#else

FILE *wl_stream_wrap(FILE *below, const char *mode)
{
    (void)mode;
    return below;
}

#endif

/* ---- io.open, io.input, io.lines ------------------------------------------------- */

/* The original runs in the frame of the one that stands in its place, so its errors
 * name the same function and line. Upvalue 1 is its address.
 *
 * arguments... -> arguments... results... */
static int original(lua_State *L)
{
    void         *address = lua_touserdata(L, lua_upvalueindex(1));
    lua_CFunction f;
    memcpy(&f, &address, sizeof f);
    return f(L);
}

/* Whether it reads, and what the C library calls that without its extras. */
static const char *reading_mode(const char *mode)
{
    static const struct {
        const char *const from[3];
        const char       *to;
    } modes[] = {{{"r", "rb", "rb"}, "r"},
                 {{"r+", "r+b", "rb+"}, "r+"},
                 {{"w+", "w+b", "wb+"}, "w+"},
                 {{"a+", "a+b", "ab+"}, "a+"}};
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 3; k++)
            if (strcmp(mode, modes[i].from[k]) == 0)
                return modes[i].to;
    return NULL;
}

/* The userdata of files begin with their FILE in each Lua. Not one: nothing is done. */
static void wrap_file(lua_State *L, int index, const char *mode)
{
    FILE **slot = lua_touserdata(L, index);
    if (slot && *slot)
        *slot = wl_stream_wrap(*slot, mode);
}

/* path [mode] -> as io.open */
static int open_file(lua_State *L)
{
    bool        plain = lua_isnoneornil(L, 2);
    const char *mode =
        reading_mode(plain || lua_type(L, 2) != LUA_TSTRING ? "r" : lua_tostring(L, 2));
    int n = original(L);
    if (mode)
        wrap_file(L, -n, mode);
    return n;
}

/* [path or file] -> as io.input */
static int input(lua_State *L)
{
    bool opens = lua_isstring(L, 1);
    int  n = original(L);
    if (opens)
        wrap_file(L, -n, "r");
    return n;
}

/* [path] ... -> as io.lines, whose function keeps the file in an upvalue */
static int lines(lua_State *L)
{
    bool opens = lua_isstring(L, 1);
    int  n = original(L);
    if (opens && lua_getupvalue(L, -n, 1)) {
        wrap_file(L, -1, "r");
        lua_pop(L, 1);
    }
    return n;
}

/* io -> io */
static void replace_function(lua_State *L, const char *name, lua_CFunction fn)
{
    lua_getfield(L, -1, name);
    lua_CFunction f = lua_tocfunction(L, -1);
    void         *address;
    memcpy(&address, &f, sizeof address);
    lua_pushlightuserdata(L, address);
    lua_pushcclosure(L, fn, 1);
#if LUA_VERSION_NUM < 502
    lua_getfenv(L, -2); /* where its files' class is */
    lua_setfenv(L, -2);
#endif
    lua_setfield(L, -3, name);
    lua_pop(L, 1);
}

/* -> ; in a new state of ours */
void wl_stream_register(lua_State *L)
{
    lua_getglobal(L, "io");
    replace_function(L, "open", open_file);
    replace_function(L, "input", input);
    replace_function(L, "lines", lines);
    lua_pop(L, 1);
}

/* ---- standard input ---------------------------------------------------------------- */

/* How much of stdin was read and not taken yet; some, where nobody can tell. */
static size_t read_ahead(void)
{
#if defined(GIVES_LOCK_BACK)
    return (size_t)(stdin->_IO_read_end - stdin->_IO_read_ptr);
#elif defined(WAITS_FOR_END)
    return __freadahead(stdin);
#else
    return 1;
#endif
}

/* -> ; waits until a read of standard input finds something, or its end */
static int await_input(lua_State *L)
{
    wl_need_unrestricted(L, "await_input");
    struct pollfd fd = {.fd = fileno(stdin), .events = POLLIN};
    flockfile(stdin);
    bool waits = read_ahead() == 0;
    funlockfile(stdin);
    while (waits && poll(&fd, 1, -1) < 0 && errno == EINTR) {
    }
    return 0;
}

/* module -> module */
void wl_await_input_register(lua_State *L) { wl_method(L, "await_input", await_input); }
