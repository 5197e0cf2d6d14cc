/* SPDX-License-Identifier: ISC
 *
 * mailbox.c: completions and requests come back as a careful user would write
 * it: a locked list that links the caller's own structs, and an eventfd, written
 * when the list was empty, or a condition variable for the wait without a
 * descriptor.
 */
#include "mailbox.h"

#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct loop {
    struct pollfd   poll; /* fd -1: `filled` in its place */
    pthread_mutex_t lock;
    pthread_cond_t  filled;
    struct mail    *first, **last; /* guarded by lock */
};

const size_t job_size = sizeof(struct mail);

struct loop *loop_open(bool pollable)
{
    struct loop *l = malloc(sizeof *l);
    MUST(l);
    *l = (struct loop){.lock = PTHREAD_MUTEX_INITIALIZER, .filled = PTHREAD_COND_INITIALIZER};
    l->last = &l->first;
    l->poll = (struct pollfd){.fd = pollable ? eventfd(0, EFD_CLOEXEC) : -1, .events = POLLIN};
    MUST(!pollable || l->poll.fd >= 0);
    return l;
}

void loop_close(struct loop *l)
{
    if (l->poll.fd >= 0)
        close(l->poll.fd);
    free(l);
}

static void post(struct loop *l, struct mail *m)
{
    const uint64_t one = 1;
    m->next = NULL;
    pthread_mutex_lock(&l->lock);
    bool was_empty = !l->first;
    *l->last = m, l->last = &m->next;
    pthread_mutex_unlock(&l->lock);
    if (was_empty && l->poll.fd < 0)
        pthread_cond_signal(&l->filled);
    else if (was_empty)
        MUST(write(l->poll.fd, &one, sizeof one) == sizeof one);
}

void serve(struct mail *m)
{
    m->job.run(&m->job);
    post(m->loop, m);
}

void submit(struct loop *l, struct job *j)
{
    struct mail *m = (struct mail *)(void *)j;
    m->loop = l;
    enqueue(m);
}

void turn(struct loop *l)
{
    uint64_t n;
    if (l->poll.fd >= 0)
        MUST(poll(&l->poll, 1, -1) == 1 && read(l->poll.fd, &n, sizeof n) == sizeof n);
    pthread_mutex_lock(&l->lock);
    while (l->poll.fd < 0 && !l->first)
        pthread_cond_wait(&l->filled, &l->lock);
    struct mail *m = l->first, *next;
    l->first = NULL, l->last = &l->first;
    pthread_mutex_unlock(&l->lock);
    for (; m; m = next) {
        next = m->next;
        m->job.done(&m->job);
    }
}

struct request {
    struct mail mail;
    void (*fn)(void *);
    void *arg;
    sem_t answered;
};

static void answer(struct job *j)
{
    struct request *r = (struct request *)(void *)j;
    r->fn(r->arg);
    sem_post(&r->answered);
}

void run_in_main(struct loop *l, void (*fn)(void *), void *arg)
{
    struct request r = {.mail.job.done = answer, .fn = fn, .arg = arg};
    MUST(sem_init(&r.answered, 0, 0) == 0);
    post(l, &r.mail);
    while (sem_wait(&r.answered) != 0)
        continue; /* interrupted */
    sem_destroy(&r.answered);
}
