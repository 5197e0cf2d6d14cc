/* SPDX-License-Identifier: ISC
 *
 * fake_wire.c: the functions of wire.h on the server in memory, under its one lock.
 */
#include "fake_state.h"

#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

int wr_wire_open(wr_wire **out, const wr_url *url, const weir_remote_options *options,
                 const char *what, char why[], size_t room)
{
    (void)url;
    (void)options;
    (void)what;
    pthread_mutex_lock(&fake.lock);
    bool refused = fake_one_in(fake.faults.refuse);
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
    fake_cut(wire);
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
    queue *q = fake_find_queue(m->key);
    if (fake_one_in(fake.faults.nack)) {
        fake_tell_confirm(w, WR_NACKED, tag);
        return;
    }
    letter *l = fake_copy(m);
    if (q) {
        wr_list_push(&q->letters, &l->at);
    } else if (m->mandatory) {
        wr_event e = l->event;
        e.kind = WR_RETURNED;
        fake_tell(w, &e, l);
    } else {
        free(l);
    }
    fake_tell_confirm(w, WR_ACKED, tag);
}

int wr_wire_publish(wr_wire *wire, const wr_message *message, uint64_t *tag)
{
    *tag = ++wire->published;
    if (fake_enter(wire))
        take_in(wire, message, *tag);
    return fake_leave(wire);
}

int wr_wire_broadcast(wr_wire *wire, const char *exchange, const char *id)
{
    (void)exchange;
    wr_message m = {.id = wr_slice_of(id)};
    if (fake_enter(wire))
        for (int i = 0; i < WIRES; i++)
            if (fake.wires[i] && fake.wires[i]->hears && !fake.wires[i]->cut) {
                letter  *l = fake_copy(&m);
                wr_event e = l->event;
                e.consumer = wr_slice_of("cancel");
                fake_tell(fake.wires[i], &e, l);
            }
    return fake_leave(wire);
}

static void forget_letter(wr_wire *w, letter *l)
{
    wr_list_remove(&l->at);
    w->n_unacked--;
    free(l);
}

int wr_wire_ack(wr_wire *wire, uint64_t tag, bool multiple)
{
    if (fake_enter(wire)) {
        letter *l = fake_unacked_of(wire, tag);
        expect(l); /* the tag is one of this connection */
        while (multiple && wire->unacked.next != &l->at)
            forget_letter(wire, wr_of(wire->unacked.next, letter, at));
        forget_letter(wire, l);
    }
    return fake_leave(wire);
}

int wr_wire_give_back(wr_wire *wire, uint64_t tag, bool again)
{
    if (fake_enter(wire)) {
        letter *l = fake_unacked_of(wire, tag);
        expect(l);
        if (again)
            fake_give_back(wire, l);
        else
            forget_letter(wire, l);
    }
    return fake_leave(wire);
}

int wr_wire_look(wr_wire *wire, const char *name, bool *exists, unsigned *waiting,
                 unsigned *consumers)
{
    *waiting = *consumers = 0;
    *exists = fake_enter(wire) && fake_find_queue(name);
    return fake_leave(wire);
}

int wr_wire_exists(wr_wire *wire, const char *name, bool *exists)
{
    unsigned waiting, consumers;
    return wr_wire_look(wire, name, exists, &waiting, &consumers);
}

int wr_wire_declare(wr_wire *wire, const char *name)
{
    if (fake_enter(wire))
        fake_make_queue(name);
    return fake_leave(wire);
}

int wr_wire_declare_reply(wr_wire *wire, const char *name, int64_t life_ns)
{
    (void)life_ns;
    return wr_wire_declare(wire, name);
}

int wr_wire_declare_cancel(wr_wire *wire)
{
    fake_enter(wire);
    return fake_leave(wire);
}

int wr_wire_prefetch(wr_wire *wire, unsigned n)
{
    fake_enter(wire);
    wire->prefetch = n;
    return fake_leave(wire);
}

int wr_wire_consume(wr_wire *wire, const char *name, const char *consumer)
{
    if (fake_enter(wire)) {
        expect_op(wire->n_consumers, <, CONSUMERS);
        snprintf(wire->consumers[wire->n_consumers].queue, 80, "%s", name);
        snprintf(wire->consumers[wire->n_consumers++].consumer, 40, "%s", consumer);
    }
    return fake_leave(wire);
}

int wr_wire_stop(wr_wire *wire, const char *consumer)
{
    if (fake_enter(wire))
        for (unsigned i = 0; i < wire->n_consumers; i++)
            if (!strcmp(wire->consumers[i].consumer, consumer))
                wire->consumers[i--] = wire->consumers[--wire->n_consumers];
    return fake_leave(wire);
}

int wr_wire_get(wr_wire *wire, const char *name, bool *there)
{
    (void)name;
    *there = false;
    fake_enter(wire);
    return fake_leave(wire);
}

int wr_wire_hear_cancels(wr_wire *wire, const char *consumer, bool *there)
{
    (void)consumer;
    wire->hears = *there = fake_enter(wire);
    return fake_leave(wire);
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
    if (fake_enter(wire)) {
        wr_node *n = wr_list_pop(&wire->news);
        wire->last = n ? wr_of(n, note, at) : NULL;
        if (n)
            *event = wire->last->event;
        else
            (void)!read(wire->fd, &count, sizeof count);
    }
    int code = fake_leave(wire);
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

/* Any thread sends; the socket takes all. */
void wr_wire_buffer(wr_wire *wire) { (void)wire; }
bool wr_wire_is_buffered(const wr_wire *wire) { return wire != NULL; }
bool wr_wire_is_full(const wr_wire *wire) { return wire == NULL; }
bool wr_wire_has_much(const wr_wire *wire) { return wire == NULL; }

int wr_wire_flush(wr_wire *wire)
{
    fake_enter(wire);
    return fake_leave(wire);
}

int wr_wire_beat(wr_wire *wire, bool heard)
{
    (void)heard;
    fake_enter(wire);
    return fake_leave(wire);
}
