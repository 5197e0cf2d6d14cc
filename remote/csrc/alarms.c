/* SPDX-License-Identifier: ISC
 *
 * alarms: a binary heap of times.
 */
#include "alarms.h"

#include "weir.h"

#include <stdlib.h>

int wr_alarms_promise(wr_alarms *all)
{
    if (all->promised + 1 > all->room) {
        size_t     room = all->room ? all->room * 2 : 16;
        wr_alarm **heap = realloc(all->heap, room * sizeof *heap);
        if (!heap)
            return WEIR_ENOMEM;
        all->heap = heap;
        all->room = room;
    }
    all->promised++;
    return 0;
}

void wr_alarms_give_back(wr_alarms *all) { all->promised--; }

static void place_at(wr_alarms *all, size_t place, wr_alarm *alarm)
{
    all->heap[place - 1] = alarm;
    alarm->place = place;
}

static void rise(wr_alarms *all, size_t place, wr_alarm *alarm)
{
    for (; place > 1 && all->heap[place / 2 - 1]->at > alarm->at; place /= 2)
        place_at(all, place, all->heap[place / 2 - 1]);
    place_at(all, place, alarm);
}

static void sink(wr_alarms *all, size_t place, wr_alarm *alarm)
{
    for (size_t child; (child = place * 2) <= all->n; place = child) {
        if (child < all->n && all->heap[child]->at < all->heap[child - 1]->at)
            child++;
        if (all->heap[child - 1]->at >= alarm->at)
            break;
        place_at(all, place, all->heap[child - 1]);
    }
    place_at(all, place, alarm);
}

static void take_out(wr_alarms *all, wr_alarm *alarm)
{
    size_t    place = alarm->place;
    wr_alarm *last = all->heap[--all->n];
    alarm->place = 0;
    if (last == alarm)
        return;
    place_at(all, place, last);
    rise(all, place, last);
    sink(all, last->place, last);
}

int64_t wr_alarms_next(const wr_alarms *all) { return all->n ? all->heap[0]->at : 0; }

bool wr_alarm_set(wr_alarms *all, wr_alarm *alarm, int64_t at)
{
    int64_t before = wr_alarms_next(all);
    if (alarm->place)
        take_out(all, alarm);
    alarm->at = at;
    if (at)
        rise(all, ++all->n, alarm);
    return wr_alarms_next(all) != before;
}

wr_alarm *wr_alarms_due(wr_alarms *all, int64_t now)
{
    wr_alarm *first = all->n ? all->heap[0] : NULL;
    if (!first || first->at > now)
        return NULL;
    take_out(all, first);
    return first;
}

void wr_alarms_clear(wr_alarms *all)
{
    free(all->heap);
    *all = (wr_alarms){0};
}
