/* SPDX-License-Identifier: ISC
 *
 * fake_wire.c: queues, consumers, confirms and acks in memory, under one lock.
 */
#include "fake.h"

#include "harness.h"
#include "list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

typedef struct {
    wr_node  at; /* in a queue, or delivered to a wire */
    uint64_t tag;
    unsigned deliveries;
    char     queue[80];
    wr_event event; /* its slices are in text */
    char     text[];
} letter;

typedef struct {
    wr_node  at;
    letter  *letter; /* NULL: event tells all */
    wr_event event;
} note;

typedef struct {
    char    name[80];
    wr_node letters;
} queue;

enum { QUEUES = 32, WIRES = 16, CONSUMERS = 16 };

struct wr_wire {
    int      fd;
    uint64_t published, tags;
    unsigned prefetch, n_unacked, n_consumers;
    bool     cut, hears, blocked_told;
    struct {
        char queue[80], consumer[40];
    } consumers[CONSUMERS];
    wr_node unacked, news, later; /* later: confirms that are held */
    note   *last;
};

static struct {
    pthread_mutex_t lock;
    fake_faults     faults;
    uint64_t        seed;
    unsigned        cuts;
    bool            holds;
    queue           queues[QUEUES];
    wr_wire        *wires[WIRES];
} fake = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool one_in(unsigned n) { return n && rnd(&fake.seed) % n == 0; }

static queue *find_queue(const char *name)
{
    for (int i = 0; i < QUEUES; i++)
        if (*fake.queues[i].name && !strcmp(fake.queues[i].name, name))
            return &fake.queues[i];
    return NULL;
}

static void make_queue(const char *name)
{
    for (int i = 0; i < QUEUES && !find_queue(name); i++)
        if (!*fake.queues[i].name) {
            snprintf(fake.queues[i].name, sizeof fake.queues[i].name, "%s", name);
            wr_list_init(&fake.queues[i].letters);
        }
    expect(find_queue(name));
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

static letter *copy(const wr_message *m)
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

static void tell(wr_wire *w, const wr_event *event, letter *l)
{
    note *n = real_zalloc(sizeof *n);
    n->event = *event;
    n->letter = l;
    wr_list_push(&w->news, &n->at);
    signal_fd(w);
}

static void tell_confirm(wr_wire *w, wr_event_kind kind, uint64_t tag)
{
    wr_event e = {.kind = kind, .tag = tag};
    tell(w, &e, NULL);
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
    letter  *own = copy(&l->event.message); /* the wire's bytes outlive an ack */
    e.message = own->event.message;
    tell(w, &e, own);
}

static void deliver_all(void)
{
    for (int i = 0; i < WIRES; i++)
        for (unsigned c = 0; fake.wires[i] && c < fake.wires[i]->n_consumers; c++) {
            wr_wire *w = fake.wires[i];
            queue   *q = find_queue(w->consumers[c].queue);
            while (!w->cut && q && !wr_list_empty(&q->letters) &&
                   (!w->prefetch || w->n_unacked < w->prefetch))
                deliver(w, q, w->consumers[c].consumer);
        }
}

static letter *unacked_of(wr_wire *w, uint64_t tag)
{
    for (wr_node *n = w->unacked.next; n != &w->unacked; n = n->next)
        if (wr_of(n, letter, at)->tag == tag)
            return wr_of(n, letter, at);
    return NULL;
}

static void give_back(wr_wire *w, letter *l)
{
    queue *q = find_queue(l->queue);
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

static void cut(wr_wire *w)
{
    if (w->cut)
        return;
    w->cut = true;
    fake.cuts++;
    drop_news(w);
    while (!wr_list_empty(&w->unacked))
        give_back(w, wr_of(w->unacked.next, letter, at));
    signal_fd(w);
    deliver_all();
}

/* Around what a wire is asked: whether it is lost before, and perhaps after. */
static bool begin(wr_wire *w)
{
    pthread_mutex_lock(&fake.lock);
    if (one_in(fake.faults.cut))
        cut(w);
    return !w->cut;
}

static int end(wr_wire *w)
{
    deliver_all();
    if (one_in(fake.faults.cut))
        cut(w);
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
            tell_confirm(fake.wires[i], blocked ? WR_BLOCKED : WR_UNBLOCKED, 0);
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
    queue *q = find_queue(name);
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

/* ---- wire.h --------------------------------------------------------------------------- */

int wr_wire_open(wr_wire **out, const wr_url *url, const weir_remote_options *options,
                 const char *what, char why[], size_t room)
{
    (void)url;
    (void)options;
    (void)what;
    pthread_mutex_lock(&fake.lock);
    bool refused = one_in(fake.faults.refuse);
    int  free_place = 0;
    while (free_place < WIRES && fake.wires[free_place])
        free_place++;
    if (!refused) {
        expect_op(free_place, <, WIRES);
        wr_wire *w = fake.wires[free_place] = real_zalloc(sizeof *w);
        w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        wr_list_init(&w->unacked);
        wr_list_init(&w->news);
        wr_list_init(&w->later);
        *out = w;
    }
    pthread_mutex_unlock(&fake.lock);
    snprintf(why, room, "the fake refuses");
    return refused ? -1 : 0;
}

void wr_wire_close(wr_wire *wire, bool politely)
{
    (void)politely;
    pthread_mutex_lock(&fake.lock);
    cut(wire);
    for (int i = 0; i < WIRES; i++)
        if (fake.wires[i] == wire)
            fake.wires[i] = NULL;
    pthread_mutex_unlock(&fake.lock);
    wr_wire_forget(wire);
    close(wire->fd);
    free(wire);
}

int         wr_wire_fd(const wr_wire *wire) { return wire->fd; }
const char *wr_wire_why(const wr_wire *wire) { return wire->cut ? "the fake cut it" : "?"; }

int wr_wire_missing(wr_wire *wire, const char *name)
{
    (void)wire;
    fprintf(stderr, "no queue %s\n", name);
    return -1;
}

uint64_t wr_wire_published(const wr_wire *wire) { return wire->published; }

static void take_in(wr_wire *w, const wr_message *m, uint64_t tag)
{
    queue *q = find_queue(m->key);
    if (one_in(fake.faults.nack)) {
        tell_confirm(w, WR_NACKED, tag);
        return;
    }
    letter *l = copy(m);
    if (q) {
        wr_list_push(&q->letters, &l->at);
    } else if (m->mandatory) {
        wr_event e = l->event;
        e.kind = WR_RETURNED;
        tell(w, &e, l);
    } else {
        free(l);
    }
    tell_confirm(w, WR_ACKED, tag);
}

int wr_wire_publish(wr_wire *wire, const wr_message *message, uint64_t *tag)
{
    *tag = ++wire->published;
    if (begin(wire))
        take_in(wire, message, *tag);
    return end(wire);
}

int wr_wire_broadcast(wr_wire *wire, const char *exchange, const char *id)
{
    (void)exchange;
    wr_message m = {.id = wr_slice_of(id)};
    if (begin(wire))
        for (int i = 0; i < WIRES; i++)
            if (fake.wires[i] && fake.wires[i]->hears && !fake.wires[i]->cut) {
                letter  *l = copy(&m);
                wr_event e = l->event;
                e.consumer = wr_slice_of("cancel");
                tell(fake.wires[i], &e, l);
            }
    return end(wire);
}

static void forget_letter(wr_wire *w, letter *l)
{
    wr_list_remove(&l->at);
    w->n_unacked--;
    free(l);
}

int wr_wire_ack(wr_wire *wire, uint64_t tag, bool multiple)
{
    if (begin(wire)) {
        letter *l = unacked_of(wire, tag);
        expect(l); /* the tag is one of this connection */
        while (multiple && wire->unacked.next != &l->at)
            forget_letter(wire, wr_of(wire->unacked.next, letter, at));
        forget_letter(wire, l);
    }
    return end(wire);
}

int wr_wire_give_back(wr_wire *wire, uint64_t tag, bool again)
{
    if (begin(wire)) {
        letter *l = unacked_of(wire, tag);
        expect(l);
        if (again)
            give_back(wire, l);
        else
            forget_letter(wire, l);
    }
    return end(wire);
}

int wr_wire_look(wr_wire *wire, const char *name, bool *exists, unsigned *waiting,
                 unsigned *consumers)
{
    *waiting = *consumers = 0;
    *exists = begin(wire) && find_queue(name);
    return end(wire);
}

int wr_wire_exists(wr_wire *wire, const char *name, bool *exists)
{
    unsigned waiting, consumers;
    return wr_wire_look(wire, name, exists, &waiting, &consumers);
}

int wr_wire_declare(wr_wire *wire, const char *name)
{
    if (begin(wire))
        make_queue(name);
    return end(wire);
}

int wr_wire_declare_reply(wr_wire *wire, const char *name, int64_t life_ns)
{
    (void)life_ns;
    return wr_wire_declare(wire, name);
}

int wr_wire_declare_cancel(wr_wire *wire)
{
    begin(wire);
    return end(wire);
}

int wr_wire_prefetch(wr_wire *wire, unsigned n)
{
    begin(wire);
    wire->prefetch = n;
    return end(wire);
}

int wr_wire_consume(wr_wire *wire, const char *name, const char *consumer)
{
    if (begin(wire)) {
        expect_op(wire->n_consumers, <, CONSUMERS);
        snprintf(wire->consumers[wire->n_consumers].queue, 80, "%s", name);
        snprintf(wire->consumers[wire->n_consumers++].consumer, 40, "%s", consumer);
    }
    return end(wire);
}

int wr_wire_stop(wr_wire *wire, const char *consumer)
{
    if (begin(wire))
        for (unsigned i = 0; i < wire->n_consumers; i++)
            if (!strcmp(wire->consumers[i].consumer, consumer))
                wire->consumers[i--] = wire->consumers[--wire->n_consumers];
    return end(wire);
}

int wr_wire_get(wr_wire *wire, const char *name, bool *there)
{
    (void)name;
    *there = false;
    begin(wire);
    return end(wire);
}

int wr_wire_hear_cancels(wr_wire *wire, const char *consumer, bool *there)
{
    (void)consumer;
    wire->hears = *there = begin(wire);
    return end(wire);
}

void wr_wire_forget(wr_wire *wire)
{
    if (wire->last) {
        free(wire->last->letter);
        free(wire->last);
    }
    wire->last = NULL;
}

int wr_wire_next(wr_wire *wire, wr_event *event)
{
    uint64_t count;
    *event = (wr_event){.kind = WR_NOTHING};
    wr_wire_forget(wire);
    if (begin(wire)) {
        wr_node *n = wr_list_pop(&wire->news);
        wire->last = n ? wr_of(n, note, at) : NULL;
        if (n)
            *event = wire->last->event;
        else
            (void)!read(wire->fd, &count, sizeof count);
    }
    int code = end(wire);
    if (code)
        *event = (wr_event){.kind = WR_NOTHING};
    return code;
}

bool wr_wire_has_more(const wr_wire *wire)
{
    pthread_mutex_lock(&fake.lock);
    bool more = wire->cut || !wr_list_empty(&wire->news);
    pthread_mutex_unlock(&fake.lock);
    return more;
}

void wr_wire_hold(wr_wire *wire, bool hold)
{
    (void)wire;
    (void)hold;
}
