/* SPDX-License-Identifier: ISC
 *
 * request: runs a handler and keeps what it says.
 */
#include "request.h"

#include "trace.h"

#include <stdio.h>
#include <stdlib.h>

static weir_request *of_task(weir_task *task) { return wr_of(task, weir_request, task); }

/* ---- the task ------------------------------------------------------------------- */

void wr_request_limit(weir_request *r, int64_t within)
{
    wr_debts debts;
    wr_lock(r->farm, &debts);
    if (!r->abandoned)
        wr_set_alarm_locked(r->farm, &r->alarm, within ? weir_now() + within : 0, &debts);
    wr_unlock(r->farm, &debts);
}

static int run_handler(weir_task *task, void *state)
{
    weir_request *r = of_task(task);
    char          text[100];
    if (!r->route->begins(r))
        return weir_request_retry(r);
    if (r->handler->run_within)
        wr_request_limit(r, r->handler->run_within);
    int code = r->handler->run(r, state);
    if (r->handler->run_within)
        wr_request_limit(r, 0);
    snprintf(text, sizeof text,
             code ? "the handler returned %d" : "the handler gave no answer (it returned %d)",
             code);
    weir_request_fail(r, "Handler", text); /* refused if it has answered */
    return 0;
}

static wr_verdict verdict_of(weir_request *r)
{
    if (r->abandoned)
        return WR_HUNG;
    switch (weir_task_outcome(&r->task)) {
    case 0: return r->verdict;
    case WEIR_ECANCELED: return WR_STOPPED;
    case WEIR_EEXPIRED: return WR_EXPIRED;
    default: return WR_UNSERVED;
    }
}

static void task_over(weir_task *task)
{
    weir_request *r = of_task(task);
    r->route->over(r, verdict_of(r));
}

static void released(weir_task *task) { wr_request_unref(of_task(task)); }

/* Runs under the lock: the handler has had its time. An answer that came first stays. */
static void hangs(wr_alarm *alarm, wr_debts *debts)
{
    weir_request *r = wr_of(alarm, weir_request, alarm);
    if (r->answered)
        return;
    r->answered = r->abandoned = true;
    r->verdict = WR_HUNG;
    wr_request_ref(r); /* for released */
    wr_request_ref(r); /* for debts */
    wr_list_push(&debts->stuck, &r->link);
}

int wr_request_take(weir_request *r, weir_remote *farm)
{
    wr_debts debts;
    int      code = WEIR_ECLOSED;
    r->task = (weir_task){.run = run_handler, .done = task_over, .release = released};
    r->alarm.ring = hangs;
    r->refs = 1;
    r->taken = weir_now();
    wr_list_init(&r->in);
    wr_list_init(&r->link);
    wr_list_init(&r->asked);
    wr_lock(farm, &debts);
    if (farm->phase == WR_OPEN && (code = wr_alarms_promise(&farm->alarms)) == 0) {
        wr_farm_ref(r->farm = farm);
        farm->n_requests++;
        wr_list_push(&farm->requests, &r->in);
    }
    wr_unlock(farm, &debts);
    return code;
}

int wr_request_run(weir_request *r, weir_main *deliver_to)
{
    return r->farm->runner->run(r, deliver_to);
}

void wr_request_end(weir_request *r)
{
    weir_remote *farm = r->farm;
    wr_debts     debts;
    wr_trace_slice("request", r->handler->name, r->id, r->taken, r->verdict);
    wr_lock(farm, &debts);
    wr_set_alarm_locked(farm, &r->alarm, 0, &debts);
    wr_alarms_give_back(&farm->alarms);
    wr_list_remove(&r->in);
    farm->n_requests--;
    farm->stats.served++;
    wr_unlock(farm, &debts);
    wr_request_unref(r);
}

void wr_request_stop(weir_request *r, wr_debts *debts)
{
    if (atomic_exchange(&r->stop, true))
        return;
    wr_request_ref(r);
    wr_list_push(&debts->asked, &r->asked);
}

/* ---- on a pool ------------------------------------------------------------------ */

static int run_on_pool(weir_request *r, weir_main *deliver_to)
{
    weir_run_options how = {.size = sizeof how,
                            .deliver_to = deliver_to,
                            .priority = r->level,
                            .start_within_ns = r->start_within};
    wr_request_ref(r); /* it may be over before weir_run_with has returned */
    int code = weir_run_with(r->farm->served, &r->task, &how);
    if (!code && atomic_load(&r->stop)) /* asked for while there was nothing to cancel */
        weir_cancel(&r->task);
    wr_request_unref(r);
    return code;
}

static void stop_on_pool(weir_request *r) { weir_cancel(&r->task); }
static bool abandon_on_pool(weir_request *r) { return weir_task_abandon(&r->task) == 0; }
static bool stops_on_pool(const weir_request *r) { return weir_cancel_requested(&r->task); }

const wr_runner wr_on_pool = {run_on_pool, stop_on_pool, abandon_on_pool, stops_on_pool};

static _Thread_local weir_remote *in_loop; /* whose handler a loop is in */

weir_remote *wr_request_enter(weir_remote *farm)
{
    weir_remote *before = in_loop;
    in_loop = farm;
    return before;
}

weir_remote *wr_request_here(void)
{
    weir_task *task = weir_task_current();
    return task && task->run == run_handler ? of_task(task)->farm : in_loop;
}

/* ---- what a handler asks ---------------------------------------------------------- */

const void *weir_request_bytes(const weir_request *request, size_t *size)
{
    if (size)
        *size = request->size;
    return request->bytes;
}

const char *weir_request_content_type(const weir_request *request) { return request->content_type; }
const char *weir_request_name(const weir_request *request) { return request->handler->name; }
const char *weir_request_id(const weir_request *request) { return request->id; }
unsigned    weir_request_attempt(const weir_request *request) { return request->attempt; }
weir_priority weir_request_priority(const weir_request *request) { return request->level; }

bool weir_request_cancelled(const weir_request *request)
{
    return request->farm->runner->stops(request);
}

/* ---- what it answers ---------------------------------------------------------------- */

static int answer_with(weir_request *r, wr_verdict verdict, wr_answer *answer)
{
    wr_debts debts;
    wr_lock(r->farm, &debts);
    bool late = r->answered;
    if (!late) {
        r->answered = true;
        r->verdict = verdict;
        r->answer = answer;
    }
    wr_unlock(r->farm, &debts);
    if (!late)
        return 0;
    free(answer);
    return wr_fail(WEIR_EBUSY, "job %s %s has its answer, or was given up", r->handler->name,
                   r->id);
}

static int answer_copy(weir_request *r, wr_verdict verdict, const wr_answer *from)
{
    wr_answer *answer = wr_answer_copy(from);
    if (!answer)
        return wr_fail(WEIR_ENOMEM, "job %s %s: no memory for an answer of %zu bytes",
                       r->handler->name, r->id, from->size);
    return answer_with(r, verdict, answer);
}

int weir_request_reply_as(weir_request *request, const char *content_type, const void *bytes,
                          size_t size)
{
    size_t most = request->farm->options.message_limit;
    if (size && !bytes)
        return wr_fail(WEIR_EINVAL, "weir_request_reply: bytes is NULL and size is %zu", size);
    if (size > most)
        return wr_fail(WEIR_EFULL, "job %s %s: the result has %zu bytes, message_limit is %zu",
                       request->handler->name, request->id, size, most);
    return answer_copy(
        request, WR_REPLY,
        &(wr_answer){.content_type = content_type ? content_type : "application/octet-stream",
                     .bytes = bytes,
                     .size = size});
}

int weir_request_reply(weir_request *request, const void *bytes, size_t size)
{
    return weir_request_reply_as(request, NULL, bytes, size);
}

int weir_request_fail(weir_request *request, const char *name, const char *text)
{
    if (!name || !text)
        return wr_fail(WEIR_EINVAL, "weir_request_fail: %s is NULL", name ? "text" : "name");
    return answer_copy(request, WR_RAISED, &(wr_answer){.error_name = name, .error_text = text});
}

int weir_request_retry(weir_request *request) { return answer_with(request, WR_RETRY, NULL); }
