/* SPDX-License-Identifier: ISC
 *
 * fake_state.h: the server in memory: queues, letters, and the connections to it.
 */
#ifndef REMOTE_FAKE_STATE_H
#define REMOTE_FAKE_STATE_H

#include "fake.h"
#include "list.h"

#include <pthread.h>

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
    bool     cut, hears;
    struct {
        char queue[80], consumer[40];
    } consumers[CONSUMERS];
    wr_node unacked, news, later; /* later: confirms that are held */
    note   *last;
};

typedef struct {
    pthread_mutex_t lock;
    fake_faults     faults;
    uint64_t        seed;
    unsigned        cuts;
    bool            holds;
    queue           queues[QUEUES];
    wr_wire        *wires[WIRES];
} fake_state;

extern fake_state fake;

/* All of these under the lock, which fake_enter takes and fake_leave gives back: around what a wire
 * is asked, which may be lost before, and after. */
bool    fake_one_in(unsigned n);
queue  *fake_find_queue(const char *name);
void    fake_make_queue(const char *name);
letter *fake_copy(const wr_message *m);
void    fake_tell(wr_wire *w, const wr_event *event, letter *l);
void    fake_tell_confirm(wr_wire *w, wr_event_kind kind, uint64_t tag);
letter *fake_unacked_of(wr_wire *w, uint64_t tag);
void    fake_give_back(wr_wire *w, letter *l);
void    fake_cut(wr_wire *w);
bool    fake_enter(wr_wire *w);
int     fake_leave(wr_wire *w);

#endif
