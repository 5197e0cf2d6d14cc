/* SPDX-License-Identifier: ISC
 *
 * fake_state.c: the server's queues and letters, what its connections are told, and its faults.
 */
#include "fake_state.h"

#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

fake_state fake = {.lock = PTHREAD_MUTEX_INITIALIZER};

bool fake_one_in(unsigned n) { return n && rnd(&fake.seed) % n == 0; }

queue *fake_find_queue(const char *name)
{
    for (int i = 0; i < QUEUES; i++)
        if (*fake.queues[i].name && !strcmp(fake.queues[i].name, name))
            return &fake.queues[i];
    return NULL;
}

void fake_make_queue(const char *name)
{
    for (int i = 0; i < QUEUES && !fake_find_queue(name); i++)
        if (!*fake.queues[i].name) {
            snprintf(fake.queues[i].name, sizeof fake.queues[i].name, "%s", name);
            wr_list_init(&fake.queues[i].letters);
        }
    expect(fake_find_queue(name));
}

/* ---- letters and news ---------------------------------------------------------------- */

static void put(letter *l, size_t *at, wr_slice *s)
{
    if (s->size)
        memcpy(l->text + *at, s->bytes, s->size);
    if (s->bytes)
        s->bytes = l->text + *at;
    *at += s->size;
}

letter *fake_copy(const wr_message *m)
{
    size_t room = m->type.size + m->content_type.size + m->id.size + m->reply_to.size +
                  m->body.size + m->outcome.size + m->result_type.size + m->reason.size +
                  m->queue.size;
    letter *l = real_zalloc(sizeof *l + room + 1);
    size_t  at = 0;
    l->event = (wr_event){.kind = WR_DELIVERED, .message = *m};
    wr_message *to = &l->event.message;
    wr_slice   *all[] = {&to->type,    &to->content_type, &to->id,     &to->reply_to, &to->body,
                         &to->outcome, &to->result_type,  &to->reason, &to->queue};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        put(l, &at, all[i]);
    to->expiration = (wr_slice){0};
    to->key = NULL;
    to->body_size = to->body.size;
    snprintf(l->queue, sizeof l->queue, "%s", m->key ? m->key : "");
    wr_list_init(&l->at);
    return l;
}

static void signal_fd(wr_wire *w)
{
    uint64_t one = 1;
    expect_eq(write(w->fd, &one, sizeof one), sizeof one);
}

void fake_tell(wr_wire *w, const wr_event *event, letter *l)
{
    note *n = real_zalloc(sizeof *n);
    n->event = *event;
    n->letter = l;
    wr_list_push(&w->news, &n->at);
    signal_fd(w);
}

void fake_tell_confirm(wr_wire *w, wr_event_kind kind, uint64_t tag)
{
    wr_event e = {.kind = kind, .tag = tag};
    fake_tell(w, &e, NULL);
    if (!fake.holds)
        return;
    wr_node *n = w->news.prev;
    wr_list_remove(n);
    wr_list_push(&w->later, n);
}

static void deliver(wr_wire *w, queue *q, const char *consumer)
{
    letter *l = wr_of(wr_list_pop(&q->letters), letter, at);
    l->tag = ++w->tags;
    wr_list_push(&w->unacked, &l->at);
    w->n_unacked++;
    l->event.tag = l->tag;
    l->event.redelivered = l->deliveries > 0;
    l->event.message.delivery_count = l->deliveries;
    l->event.consumer = wr_slice_of(consumer);
    if (!l->event.message.queue.bytes)
        l->event.message.queue = wr_slice_of(l->queue);
    wr_event e = l->event;
    letter  *own = fake_copy(&l->event.message); /* the wire's bytes outlive an ack */
    e.message = own->event.message;
    fake_tell(w, &e, own);
}

static void deliver_all(void)
{
    for (int i = 0; i < WIRES; i++)
        for (unsigned c = 0; fake.wires[i] && c < fake.wires[i]->n_consumers; c++) {
            wr_wire *w = fake.wires[i];
            queue   *q = fake_find_queue(w->consumers[c].queue);
            while (!w->cut && q && !wr_list_empty(&q->letters) &&
                   (!w->prefetch || w->n_unacked < w->prefetch))
                deliver(w, q, w->consumers[c].consumer);
        }
}

letter *fake_unacked_of(wr_wire *w, uint64_t tag)
{
    for (wr_node *n = w->unacked.next; n != &w->unacked; n = n->next)
        if (wr_of(n, letter, at)->tag == tag)
            return wr_of(n, letter, at);
    return NULL;
}

void fake_give_back(wr_wire *w, letter *l)
{
    queue *q = fake_find_queue(l->queue);
    wr_list_remove(&l->at);
    w->n_unacked--;
    l->deliveries++;
    if (q)
        wr_list_push(&q->letters, &l->at);
    else
        free(l);
}

static void drop_news(wr_wire *w)
{
    wr_list_prepend(&w->news, &w->later);
    for (wr_node *n; (n = wr_list_pop(&w->news));) {
        free(wr_of(n, note, at)->letter);
        free(wr_of(n, note, at));
    }
}

void fake_cut(wr_wire *w)
{
    if (w->cut)
        return;
    w->cut = true;
    fake.cuts++;
    drop_news(w);
    while (!wr_list_empty(&w->unacked))
        fake_give_back(w, wr_of(w->unacked.next, letter, at));
    signal_fd(w);
    deliver_all();
}

/* Around what a wire is asked: whether it is lost before, and perhaps after. */
bool fake_enter(wr_wire *w)
{
    pthread_mutex_lock(&fake.lock);
    if (fake_one_in(fake.faults.cut))
        fake_cut(w);
    return !w->cut;
}

int fake_leave(wr_wire *w)
{
    deliver_all();
    if (fake_one_in(fake.faults.cut))
        fake_cut(w);
    int code = w->cut ? -1 : 0;
    pthread_mutex_unlock(&fake.lock);
    return code;
}

/* ---- what tests ask ------------------------------------------------------------------- */

void fake_end(void)
{
    for (int i = 0; i < QUEUES; i++) {
        for (wr_node *n; *fake.queues[i].name && (n = wr_list_pop(&fake.queues[i].letters));)
            free(wr_of(n, letter, at));
        *fake.queues[i].name = 0;
    }
}

void fake_begin(uint64_t seed)
{
    fake_end();
    fake.faults = (fake_faults){0};
    fake.seed = seed;
    fake.cuts = 0;
    fake.holds = false;
}

void fake_begin_faults(const fake_faults *faults)
{
    pthread_mutex_lock(&fake.lock);
    fake.faults = *faults;
    pthread_mutex_unlock(&fake.lock);
}

void fake_block(bool blocked)
{
    pthread_mutex_lock(&fake.lock);
    for (int i = 0; i < WIRES; i++)
        if (fake.wires[i])
            fake_tell_confirm(fake.wires[i], blocked ? WR_BLOCKED : WR_UNBLOCKED, 0);
    pthread_mutex_unlock(&fake.lock);
}

void fake_hold_confirms(bool held)
{
    pthread_mutex_lock(&fake.lock);
    fake.holds = held;
    for (int i = 0; i < WIRES && !held; i++)
        if (fake.wires[i] && !wr_list_empty(&fake.wires[i]->later)) {
            wr_list_prepend(&fake.wires[i]->news, &fake.wires[i]->later);
            signal_fd(fake.wires[i]);
        }
    pthread_mutex_unlock(&fake.lock);
}

unsigned fake_waiting(const char *name)
{
    unsigned n = 0;
    pthread_mutex_lock(&fake.lock);
    queue *q = fake_find_queue(name);
    for (wr_node *at = q ? q->letters.next : NULL; q && at != &q->letters; at = at->next)
        n++;
    pthread_mutex_unlock(&fake.lock);
    return n;
}

unsigned fake_cuts(void)
{
    pthread_mutex_lock(&fake.lock);
    unsigned n = fake.cuts;
    pthread_mutex_unlock(&fake.lock);
    return n;
}
