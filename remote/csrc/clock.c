/* SPDX-License-Identifier: ISC
 *
 * clock: rings what is due, then parks until the next alarm.
 */
#include "clock.h"

#include <poll.h>

/* Returns the time of the next alarm, 0 for none; *over: there will be none. */
static int64_t ring(weir_remote *farm, bool *over)
{
    wr_debts  debts;
    wr_alarm *due;
    int64_t   now = weir_now();
    wr_lock(farm, &debts);
    while ((due = wr_alarms_due(&farm->alarms, now)))
        due->ring(due, &debts);
    int64_t next = wr_alarms_next(&farm->alarms);
    *over = wr_is_over_locked(farm);
    wr_unlock(farm, &debts);
    return next;
}

/* An unpark that comes before the park is remembered. */
static int tick(weir_task *task, void *state)
{
    weir_remote *farm = wr_of(task, weir_remote, clock);
    (void)state;
    for (;;) {
        bool    over;
        int64_t next = ring(farm, &over), now = weir_now();
        if (over)
            return 0;
        if (weir_task_park_within(task, !next ? -1 : next > now ? next - now : 0) == 0)
            return WEIR_PARK;
        poll(NULL, 0, 10); /* the system refuses a thread: keep this one until it does not */
    }
}

static void ended(weir_task *task) { wr_ended(wr_of(task, weir_remote, clock)); }

int wr_clock_start(weir_remote *farm)
{
    farm->clock = (weir_task){.run = tick, .done = ended};
    return wr_start(farm, &farm->clock);
}
