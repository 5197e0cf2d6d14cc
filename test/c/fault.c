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
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *const fault_names[FAULTS] = {"none",        "alloc",       "thread",
                                         "descriptor",  "read EINTR",  "read EAGAIN",
                                         "write EINTR", "write EAGAIN"};

static _Atomic int  armed; /* enum fault */
static _Atomic long countdown;
static long         burst_length;
static void (*when_refused)(void);
static _Atomic bool injected;
static _Atomic long live, writes;

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
long fault_live_blocks(void) { return atomic_load(&live); }
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

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void  __real_free(void *p);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
char *__wrap_strdup(const char *s);
void  __wrap_free(void *p);

static void *counted(void *p)
{
    if (p)
        atomic_fetch_add(&live, 1);
    return p;
}

void *__wrap_malloc(size_t size)
{
    return fails(FAULT_ALLOC) ? NULL : counted(__real_malloc(size));
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails(FAULT_ALLOC) ? NULL : counted(__real_calloc(n, size));
}

void *__wrap_realloc(void *p, size_t size)
{
    if (fails(FAULT_ALLOC))
        return NULL;
    return p ? __real_realloc(p, size) : counted(__real_realloc(p, size));
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return fails(FAULT_ALLOC) ? NULL : counted(__real_aligned_alloc(alignment, size));
}

char *__wrap_strdup(const char *s)
{
    size_t size = strlen(s) + 1;
    char  *copy = __wrap_malloc(size);
    return copy ? memcpy(copy, s, size) : NULL;
}

void __wrap_free(void *p)
{
    if (p)
        atomic_fetch_sub(&live, 1);
    __real_free(p);
}

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

int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *attr, void *(*fn)(void *),
                          void *arg)
{
    return fails(FAULT_THREAD) ? EAGAIN : __real_pthread_create(out, attr, fn, arg);
}

int real_thread(pthread_t *out, void *(*fn)(void *), void *arg)
{
    return __real_pthread_create(out, NULL, fn, arg);
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

ssize_t __wrap_write(int fd, const void *buffer, size_t size)
{
    if (fails(FAULT_WRITE_EINTR))
        return refused(EINTR);
    if (fails(FAULT_WRITE_EAGAIN))
        return refused(EAGAIN);
    atomic_fetch_add(&writes, 1);
    return __real_write(fd, buffer, size);
}
