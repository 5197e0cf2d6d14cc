/* SPDX-License-Identifier: ISC
 *
 * limit.c: futures whose limit has passed.
 */
#include "runtime/limit.h"
#include "runtime/deadline.h"
#include "runtime/settle.h"
#include "runtime/state.h"
#include "weir.h"

#include <stdlib.h>

/* In the main's dispatch, or when it has closed. Who waits is told by Lua, later. */
static void limit_came(weir_notice *notice, int outcome)
{
    (void)outcome;
    wl_deadline *d = (wl_deadline *)(void *)notice;
    wl_job      *j = d->job;
    wl_main     *m = j->main;
    if (!wl_deadline_take_off(d) || !wl_job_end(j, WEIR_ETIMEDOUT, d->pool->cancel_ns) ||
        !j->watched) {
        wl_deadline_drop(d);
        return;
    }
    d->key = j->key;
    j->key = 0;
    d->next = NULL;
    *m->last_due = d;
    m->last_due = &d->next;
}

static void post_limit(wl_deadline *d)
{
    if (wl_main_post(d->job->main, &d->notice))
        return;
    wl_deadline_take_off(d);
    wl_deadline_drop(d);
}

int wl_limit_begin(wl_job *j, int64_t timeout_ns)
{
    wl_deadline *d = wl_deadline_make(j, timeout_ns, post_limit);
    if (!d)
        return WEIR_ENOMEM;
    d->notice.fn = limit_came;
    return wl_deadline_add(j, d) ? 0 : WEIR_EAGAIN;
}

uint32_t wl_limit_take(wl_main *m)
{
    wl_deadline *d = m->due;
    uint32_t     key = d->key;
    if (!(m->due = d->next))
        m->last_due = &m->due;
    wl_deadline_drop(d);
    return key;
}

void wl_limits_drop(wl_main *m)
{
    while (m->due)
        wl_key_give(m->state, wl_limit_take(m));
}
