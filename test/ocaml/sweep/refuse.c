/* SPDX-License-Identifier: ISC
 *
 * refuse.c: requests that weir's C makes to the system, which can be made to fail. The profile
 * `sweep` compiles that C with these names in place of the system's, so that the requests of
 * OCaml's runtime are left alone.
 */
#undef malloc
#undef calloc
#undef realloc
#undef aligned_alloc
#undef strdup
#undef free
#undef pthread_create
#undef eventfd
#undef pipe2
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define CAML_NAME_SPACE
#include <caml/mlvalues.h>

enum { MEMORY, THREADS, DESCRIPTORS };

static _Atomic int  kind = -1;
static _Atomic long left, row, injected, alive;

static bool passes(_Atomic long *count)
{
    long n = *count;
    while (n > 0 && !atomic_compare_exchange_weak(count, &n, n - 1))
        ;
    return n != 0;
}

static bool refuses(int what)
{
    if (kind != what || passes(&left) || !passes(&row))
        return false;
    injected++;
    return true;
}

static void *counted(void *p)
{
    alive += p != NULL;
    return p;
}

void *refuse_malloc(size_t size);
void *refuse_calloc(size_t n, size_t size);
void *refuse_realloc(void *old, size_t size);
void *refuse_aligned_alloc(size_t alignment, size_t size);
char *refuse_strdup(const char *s);
void  refuse_free(void *p);
int   refuse_pthread_create(pthread_t *out, const pthread_attr_t *attr, void *(*fn)(void *),
                            void *arg);
int   refuse_eventfd(unsigned n, int flags);
int   refuse_pipe2(int fds[2], int flags);

void *refuse_malloc(size_t size) { return refuses(MEMORY) ? NULL : counted(malloc(size)); }

void *refuse_calloc(size_t n, size_t size)
{
    return refuses(MEMORY) ? NULL : counted(calloc(n, size));
}

void *refuse_realloc(void *old, size_t size)
{
    if (refuses(MEMORY))
        return NULL;
    return old ? realloc(old, size) : counted(realloc(old, size));
}

void *refuse_aligned_alloc(size_t alignment, size_t size)
{
    return refuses(MEMORY) ? NULL : counted(aligned_alloc(alignment, size));
}

char *refuse_strdup(const char *s)
{
    size_t size = strlen(s) + 1;
    char  *copy = refuse_malloc(size);
    return copy ? memcpy(copy, s, size) : NULL;
}

void refuse_free(void *p)
{
    alive -= p != NULL;
    free(p);
}

int refuse_pthread_create(pthread_t *out, const pthread_attr_t *attr, void *(*fn)(void *),
                          void *arg)
{
    return refuses(THREADS) ? EAGAIN : pthread_create(out, attr, fn, arg);
}

static int no_descriptor(void)
{
    errno = EMFILE;
    return -1;
}

int refuse_eventfd(unsigned n, int flags)
{
    return refuses(DESCRIPTORS) ? no_descriptor() : eventfd(n, flags);
}

int refuse_pipe2(int fds[2], int flags)
{
    return refuses(DESCRIPTORS) ? no_descriptor() : pipe2(fds, flags);
}

/* ---- for OCaml ------------------------------------------------------------------ */

value weir_refuse_arm(value what, value n, value in_a_row);
value weir_refuse_disarm(value unit);
value weir_refuse_alive(value unit);

value weir_refuse_arm(value what, value n, value in_a_row)
{
    injected = 0;
    left = Long_val(n);
    row = Long_val(in_a_row);
    kind = (int)Long_val(what);
    return Val_unit;
}

/* How many were refused. */
value weir_refuse_disarm(value unit)
{
    (void)unit;
    kind = -1;
    return Val_long(injected);
}

value weir_refuse_alive(value unit)
{
    (void)unit;
    return Val_long(alive);
}
