/* SPDX-License-Identifier: ISC
 *
 * alarms: the times at which a farm has something to do, earliest first: a binary heap.
 * Guarded by the farm's lock.
 */
#ifndef WR_ALARMS_H
#define WR_ALARMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wr_debts;

typedef struct wr_alarm {
    void (*ring)(struct wr_alarm *alarm, struct wr_debts *debts); /* the lock is held */
    int64_t at;
    size_t  place; /* in the heap, from 1; 0: not set */
} wr_alarm;

typedef struct {
    wr_alarm **heap;
    size_t     n, room, promised;
} wr_alarms;

/* Memory for one alarm more, so that setting it cannot fail. Returns 0 or WEIR_ENOMEM. */
int  wr_alarms_promise(wr_alarms *all);
void wr_alarms_give_back(wr_alarms *all); /* its alarm is not set */

/* Sets, moves or (at 0) clears it. Returns whether another time is now the earliest. */
bool wr_alarm_set(wr_alarms *all, wr_alarm *alarm, int64_t at);

/* The earliest time, or 0; the earliest alarm that is due, which is then not set, or NULL. */
int64_t   wr_alarms_next(const wr_alarms *all);
wr_alarm *wr_alarms_due(wr_alarms *all, int64_t now);

void wr_alarms_clear(wr_alarms *all);

#endif
