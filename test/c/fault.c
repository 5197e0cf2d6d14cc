/* SPDX-License-Identifier: ISC
 *
 * fault.c: makes the n-th request to the system fail.
 *
 * The linker's --wrap sends the core's calls here; libc's own are not seen. The
 * n-th is counted over all threads, so that a sweep over n reaches each request
 * of a scenario whichever thread makes it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "harness.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

const char *const fault_names[FAULTS] = {"none",       "alloc",       "thread",      "descriptor",
                                         "read EINTR", "read EAGAIN", "write EINTR", "write EAGAIN",
                                         "wait",       "file",        "write ENOSPC"};

static _Atomic int  armed; /* enum fault */
static _Atomic long countdown;
static long         burst_length;
static void (*when_refused)(void);
static _Atomic bool injected;
static _Atomic long writes;

void fault_arm(enum fault kind, unsigned n, unsigned burst)
{
    atomic_store(&injected, false);
    burst_length = burst;
    when_refused = NULL;
    atomic_store(&countdown, n);
    atomic_store(&armed, kind);
}

void fault_arm_then(enum fault kind, void (*fn)(void))
{
    fault_arm(kind, 1, 1);
    when_refused = fn;
}

bool fault_disarm(void)
{
    atomic_store(&armed, FAULT_NONE);
    return fault_injected();
}

bool fault_injected(void) { return atomic_load(&injected); }
long fault_writes(void) { return atomic_load(&writes); }

static bool fails(enum fault kind)
{
    if (atomic_load(&armed) != (int)kind)
        return false;
    long left = atomic_fetch_sub(&countdown, 1);
    if (left > 1 || left <= 1 - burst_length)
        return false;
    atomic_store(&injected, true);
    if (when_refused)
        when_refused();
    return true;
}

/* ---- memory ------------------------------------------------------------- */

#define GIVEN(f) __wrap_##f
#define REAL(f) __real_##f
static bool memory_refused(void) { return fails(FAULT_ALLOC); }
#include "counted.h"

long fault_live_blocks(void) { return atomic_load(&live); }

void *real_zalloc(size_t size) { return counted(__real_calloc(1, size)); }

/* ---- threads and descriptors -------------------------------------------- */

int __real_pthread_create(pthread_t *out, const pthread_attr_t *attr, void *(*fn)(void *),
                          void *arg);
int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *attr, void *(*fn)(void *),
                          void *arg);
int __real_eventfd(unsigned n, int flags);
int __wrap_eventfd(unsigned n, int flags);
int __real_pipe2(int fds[2], int flags);
int __wrap_pipe2(int fds[2], int flags);

static _Atomic int unjoined;
int                fault_unjoined(void) { return atomic_load(&unjoined); }

static int made(int error)
{
    unjoined += error == 0;
    return error;
}

static int let_go(int error)
{
    unjoined -= error == 0;
    return error;
}

int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *attr, void *(*fn)(void *),
                          void *arg)
{
    return fails(FAULT_THREAD) ? EAGAIN : made(__real_pthread_create(out, attr, fn, arg));
}

int real_thread(pthread_t *out, void *(*fn)(void *), void *arg)
{
    return made(__real_pthread_create(out, NULL, fn, arg));
}

int __real_pthread_join(pthread_t thread, void **result);
int __wrap_pthread_join(pthread_t thread, void **result);
int __real_pthread_detach(pthread_t thread);
int __wrap_pthread_detach(pthread_t thread);

int __wrap_pthread_join(pthread_t thread, void **result)
{
    return let_go(__real_pthread_join(thread, result));
}

int __wrap_pthread_detach(pthread_t thread) { return let_go(__real_pthread_detach(thread)); }

/* The timed joins, which each libc calls otherwise. Without a deadline it is a pthread_join. */
bool __real_wi_thread_join(pthread_t thread, int64_t deadline);
bool __wrap_wi_thread_join(pthread_t thread, int64_t deadline);

bool __wrap_wi_thread_join(pthread_t thread, int64_t deadline)
{
    bool joined = __real_wi_thread_join(thread, deadline);
    unjoined -= joined && deadline >= 0;
    return joined;
}

static int refused(int error)
{
    errno = error;
    return -1;
}

int __wrap_eventfd(unsigned n, int flags)
{
    return fails(FAULT_FD) ? refused(EMFILE) : __real_eventfd(n, flags);
}

int __wrap_pipe2(int fds[2], int flags)
{
    return fails(FAULT_FD) ? refused(ENFILE) : __real_pipe2(fds, flags);
}

/* ---- read and write ----------------------------------------------------- */

ssize_t __real_read(int fd, void *buffer, size_t size);
ssize_t __wrap_read(int fd, void *buffer, size_t size);
ssize_t __real_write(int fd, const void *buffer, size_t size);
ssize_t __wrap_write(int fd, const void *buffer, size_t size);

ssize_t __wrap_read(int fd, void *buffer, size_t size)
{
    if (fails(FAULT_READ_EINTR))
        return refused(EINTR);
    if (fails(FAULT_READ_EAGAIN))
        return refused(EAGAIN);
    return __real_read(fd, buffer, size);
}

static bool is_file(int fd)
{
    struct stat s;
    return atomic_load(&armed) == FAULT_ENOSPC && fstat(fd, &s) == 0 && S_ISREG(s.st_mode);
}

ssize_t __wrap_write(int fd, const void *buffer, size_t size)
{
    if (fails(FAULT_WRITE_EINTR))
        return refused(EINTR);
    if (fails(FAULT_WRITE_EAGAIN))
        return refused(EAGAIN);
    if (is_file(fd) && fails(FAULT_ENOSPC))
        return refused(ENOSPC);
    atomic_fetch_add(&writes, 1);
    return __real_write(fd, buffer, size);
}

/* ---- waits ------------------------------------------------------------------ */

/* Not variadic here: a caller may give fewer than six, which va_arg could not read. */
long __real_syscall(long number, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f);
int  __real_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock);
int  __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock);
int  __real_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *lock,
                                   const struct timespec *until);
int  __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *lock,
                                   const struct timespec *until);

/* Of futex, the operation that the core waits by. */
static bool is_wait(long number, long what)
{
    enum { OPERATION = 127, WAIT_BITSET = 9 };
    bool is_futex = false;
#ifdef SYS_futex
    is_futex |= number == SYS_futex;
#endif
#ifdef SYS_futex_time64
    is_futex |= number == SYS_futex_time64;
#endif
    return is_futex && (what & OPERATION) == WAIT_BITSET;
}

long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    if (is_wait(number, b) && fails(FAULT_WAIT))
        return refused(EINTR);
    return __real_syscall(number, a, b, c, d, e, f);
}

int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock)
{
    return fails(FAULT_WAIT) ? 0 : __real_pthread_cond_wait(cond, lock);
}

int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *lock,
                                  const struct timespec *until)
{
    return fails(FAULT_WAIT) ? 0 : __real_pthread_cond_timedwait(cond, lock, until);
}

/* ---- files and sockets -------------------------------------------------------- */

int     __real_open(const char *path, int flags, ...);
int     __wrap_open(const char *path, int flags, ...);
int     __real_socket(int domain, int type, int protocol);
int     __wrap_socket(int domain, int type, int protocol);
int     __real_bind(int fd, const struct sockaddr *address, socklen_t size);
int     __wrap_bind(int fd, const struct sockaddr *address, socklen_t size);
int     __real_listen(int fd, int most);
int     __wrap_listen(int fd, int most);
int     __real_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags);
int     __wrap_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags);
ssize_t __real_send(int fd, const void *buffer, size_t size, int flags);
ssize_t __wrap_send(int fd, const void *buffer, size_t size, int flags);

int __wrap_open(const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    int mode = va_arg(list, int);
    va_end(list);
    return fails(FAULT_FILE) ? refused(EMFILE) : __real_open(path, flags, mode);
}

int __wrap_socket(int domain, int type, int protocol)
{
    return fails(FAULT_FILE) ? refused(EMFILE) : __real_socket(domain, type, protocol);
}

int __wrap_bind(int fd, const struct sockaddr *address, socklen_t size)
{
    return fails(FAULT_FILE) ? refused(ENOSPC) : __real_bind(fd, address, size);
}

int __wrap_listen(int fd, int most)
{
    return fails(FAULT_FILE) ? refused(ENOBUFS) : __real_listen(fd, most);
}

int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
    return fails(FAULT_FILE) ? refused(ECONNABORTED) : __real_accept4(fd, address, size, flags);
}

ssize_t __wrap_send(int fd, const void *buffer, size_t size, int flags)
{
    return fails(FAULT_FILE) ? refused(EPIPE) : __real_send(fd, buffer, size, flags);
}
