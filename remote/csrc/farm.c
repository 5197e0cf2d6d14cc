/* SPDX-License-Identifier: ISC
 *
 * farm: its lock and what is owed after it, its tasks.
 */
#include "farm.h"

#include "client.h"
#include "fork.h"
#include "hub.h"
#include "options.h"

#include <stdarg.h>
#include <stdio.h>

bool wr_is_forked(const weir_remote *farm) { return farm->forks != wr_forks(); }

/* ---- the lock -------------------------------------------------------------------------- */

void wr_lock(weir_remote *farm, wr_debts *debts)
{
    *debts = (wr_debts){0};
    wr_list_init(&debts->settled);
    wr_list_init(&debts->asked);
    wr_list_init(&debts->stuck);
    pthread_mutex_lock(&farm->lock);
}

static void post_settled(wr_debts *debts)
{
    for (wr_node *n; (n = wr_list_pop(&debts->settled));)
        weir_notice_post(&wr_of(n, wr_flight, link)->back, 0);
}

static void ask_requests(wr_debts *debts)
{
    for (wr_node *n; (n = wr_list_pop(&debts->asked));) {
        weir_request *r = wr_of(n, weir_request, asked);
        r->farm->runner->stop(r);
        wr_request_unref(r);
    }
}

static void abandon_requests(wr_debts *debts)
{
    for (wr_node *n; (n = wr_list_pop(&debts->stuck));) {
        weir_request *r = wr_of(n, weir_request, link);
        if (!r->farm->runner->abandon(r))
            wr_request_unref(r); /* nothing is released later */
        wr_request_unref(r);
    }
}

static void note_over_locked(weir_remote *farm, wr_debts *debts)
{
    if (!wr_is_over_locked(farm))
        return;
    debts->clock = true;
    for (unsigned i = 0; i < WR_IOS; i++)
        wr_want_locked(farm, i, debts);
}

void wr_unlock(weir_remote *farm, wr_debts *debts)
{
    note_over_locked(farm, debts);
    pthread_mutex_unlock(&farm->lock);
    post_settled(debts);
    ask_requests(debts);
    abandon_requests(debts);
    if (debts->clock)
        weir_task_unpark(&farm->clock);
    for (unsigned i = 0; i < WR_IOS; i++)
        if (debts->bells & 1u << i)
            wr_bell_ring(&farm->bells[i]);
}

void wr_want_locked(weir_remote *farm, enum wr_which which, wr_debts *debts)
{
    if (wr_bell_pull_locked(&farm->bells[which]))
        debts->bells |= 1u << which;
}

void wr_set_alarm_locked(weir_remote *farm, wr_alarm *alarm, int64_t at, wr_debts *debts)
{
    debts->clock |= wr_alarm_set(&farm->alarms, alarm, at) && at;
}

bool wr_is_over_locked(const weir_remote *farm)
{
    return farm->phase != WR_OPEN && !farm->n_flights && !farm->n_requests;
}

/* ---- tasks of its own -------------------------------------------------------------------- */

int wr_start(weir_remote *farm, weir_task *task)
{
    pthread_mutex_lock(&farm->lock);
    farm->n_tasks++;
    pthread_mutex_unlock(&farm->lock);
    int code = weir_run(farm->pool, task, NULL);
    if (code)
        wr_ended(farm);
    return code;
}

void wr_ended(weir_remote *farm)
{
    pthread_mutex_lock(&farm->lock);
    bool tell = --farm->n_tasks == 0 && farm->ended_at;
    pthread_cond_broadcast(&farm->changed);
    pthread_mutex_unlock(&farm->lock);
    if (tell)
        weir_notice_post(&farm->ended, 0);
}

void wr_tell(weir_remote *farm, int code, const char *format, ...)
{
    char    sentence[WR_SENTENCE];
    va_list args;
    if (!farm->options.on_event)
        return;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    farm->options.on_event(farm->options.arg, code, sentence);
}
