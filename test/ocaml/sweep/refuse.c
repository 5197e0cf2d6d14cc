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
#include <sys/eventfd.h>
#include <unistd.h>

#define CAML_NAME_SPACE
#include <caml/mlvalues.h>

enum { MEMORY, THREADS, DESCRIPTORS };

static _Atomic int  kind = -1;
static _Atomic long left, row, injected;

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

static bool memory_refused(void) { return refuses(MEMORY); }
#define GIVEN(f) refuse_##f
#define REAL(f) f
#include "counted.h"

int refuse_pthread_create(pthread_t *out, const pthread_attr_t *attr, void *(*fn)(void *),
                          void *arg);
int refuse_eventfd(unsigned n, int flags);
int refuse_pipe2(int fds[2], int flags);

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
    return Val_long(live);
}
