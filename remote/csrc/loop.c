/* SPDX-License-Identifier: ISC
 *
 * loop: requests whose handlers belong to a loop.
 *
 *   COMING  its notice is on its way to the loop
 *   HELD    run was called; the program has it until its release
 *   BEGUN   the same, and its handler runs
 *   OVER    its verdict goes on
 *
 * COMING -> BEGUN when the loop turns to it, or COMING -> HELD with begins_later, and HELD ->
 * BEGUN by weir_request_begin; COMING -> OVER instead if it was stopped or comes too late. A
 * begin that finds that decides the verdict, and HELD -> OVER by the release that follows.
 * BEGUN -> OVER by the release or when run_within passes, whichever is first under the farm's
 * lock. A release of what is OVER only gives the hold back. run_within counts for nothing that is
 * HELD, so a begin and a release, which the program makes one at a time, race with nobody but who
 * stops the request: a stop that begin has not seen asks the handler.
 */
#include "serve.h"

#include <stdio.h>

static weir_request *of_arrives(weir_notice *n) { return wr_of(n, weir_request, loop.arrives); }

/* ---- over ------------------------------------------------------------------------------ */

static void over_told(weir_notice *notice, int outcome)
{
    weir_request *r = wr_of(notice, weir_request, loop.tells);
    (void)outcome;
    r->route->over(r, r->verdict);
}

/* Once for each time that it was run. The verdict is constant now. */
static void go_on(weir_request *r)
{
    if (!r->loop.back_to) {
        r->route->over(r, r->verdict);
        return;
    }
    r->loop.tells = (weir_notice){.fn = over_told};
    if (weir_notice_expect(&r->loop.tells, r->loop.back_to) == 0)
        weir_notice_post(&r->loop.tells, 0);
}

/* False: it has its answer. */
static bool decide(weir_request *r, wr_verdict verdict)
{
    wr_debts debts;
    wr_lock(r->farm, &debts);
    bool first = !r->answered;
    if (first) {
        r->answered = true;
        r->verdict = verdict;
    }
    wr_unlock(r->farm, &debts);
    return first;
}

static void end_unrun(weir_request *r, wr_verdict verdict)
{
    decide(r, verdict);
    go_on(r);
}

void weir_request_release(weir_request *request)
{
    wr_debts     debts;
    weir_remote *farm = request->farm;
    weir_request_fail(request, "Handler", "the handler gave no answer"); /* unless it has one */
    wr_lock(farm, &debts);
    bool late = request->abandoned;
    request->answered = true;
    request->loop.held = false;
    wr_set_alarm_locked(farm, &request->alarm, 0, &debts);
    wr_unlock(farm, &debts);
    if (!late)
        go_on(request);
    wr_request_unref(request);
}

/* ---- its begin ---------------------------------------------------------------------------- */

/* Why r is not to run, or WR_SILENT. */
static wr_verdict why_not(const weir_request *r)
{
    if (atomic_load(&r->stop))
        return WR_STOPPED;
    return r->loop.start_by && r->loop.start_by <= weir_now() ? WR_EXPIRED : WR_SILENT;
}

/* The same, and if it is to run it begins. */
static wr_verdict try_begin(weir_request *r)
{
    wr_verdict why = why_not(r);
    if (!why && !r->route->begins(r))
        return WR_RETRY;
    r->loop.begun = !why;
    return why;
}

/* From now on it may be over at any time, but for a hold. */
static void limit(weir_request *r)
{
    if (r->handler->run_within)
        wr_request_limit(r, r->handler->run_within);
}

static int code_of(wr_verdict why)
{
    switch (why) {
    case WR_SILENT: return 0;
    case WR_STOPPED: return WEIR_ECANCELED;
    case WR_EXPIRED: return WEIR_EEXPIRED;
    default: return WEIR_ECLOSED;
    }
}

static bool has_answer(weir_request *r)
{
    wr_debts debts;
    wr_lock(r->farm, &debts);
    bool has = r->answered;
    wr_unlock(r->farm, &debts);
    return has;
}

int weir_request_begin(weir_request *request)
{
    if (!request->farm->loop.begins_later || request->loop.begun || has_answer(request))
        return wr_fail(WEIR_EBUSY, "job %s %s has begun, or has its answer", request->handler->name,
                       request->id);
    wr_verdict why = try_begin(request);
    if (why)
        decide(request, why);
    else
        limit(request);
    return code_of(why);
}

/* ---- at the loop ------------------------------------------------------------------------- */

static void take_hold(weir_request *r)
{
    wr_debts debts;
    wr_request_ref(r);
    wr_lock(r->farm, &debts);
    r->loop.held = true;
    wr_unlock(r->farm, &debts);
}

/* After a run that returns 0 it may be gone. */
static void call(weir_request *r)
{
    const wr_handler *handler = r->handler;
    weir_remote      *before = wr_request_enter(r->farm);
    char              text[60];
    int               code = handler->run(r, r->farm->loop.arg);
    wr_request_enter(before);
    if (!code)
        return;
    snprintf(text, sizeof text, "the handler returned %d", code);
    weir_request_fail(r, "Handler", text);
    weir_request_release(r);
}

/* In a child of fork it is the parent's. */
static void arrived(weir_notice *notice, int outcome)
{
    weir_request *r = of_arrives(notice);
    (void)outcome;
    if (wr_is_forked(r->farm))
        return;
    bool       later = r->farm->loop.begins_later;
    wr_verdict why = later ? why_not(r) : try_begin(r);
    if (why) {
        end_unrun(r, why);
        return;
    }
    take_hold(r);
    if (!later)
        limit(r);
    call(r);
}

static bool is_held(weir_request *r)
{
    wr_debts debts;
    wr_lock(r->farm, &debts);
    bool held = r->loop.held;
    wr_unlock(r->farm, &debts);
    return held;
}

static void asked(weir_notice *notice, int outcome)
{
    weir_request *r = wr_of(notice, weir_request, loop.asks);
    (void)outcome;
    if (wr_is_forked(r->farm))
        return;
    if (r->farm->loop.stop && is_held(r))
        r->farm->loop.stop(r, r->farm->loop.arg);
    wr_request_unref(r);
}

/* ---- what runs it ------------------------------------------------------------------------ */

static int run_on_loop(weir_request *r, weir_main *deliver_to)
{
    int64_t now = weir_now();
    r->loop.back_to = deliver_to;
    r->loop.data = NULL;
    r->loop.begun = false;
    r->loop.start_by = r->start_within ? now + r->start_within : 0;
    r->loop.arrives = (weir_notice){.fn = arrived};
    int code = weir_notice_expect(&r->loop.arrives, r->farm->loop.deliver_to);
    if (!code)
        weir_notice_post(&r->loop.arrives, 0);
    return code;
}

/* Once for each request: who made stop true. */
static void stop_on_loop(weir_request *r)
{
    wr_request_ref(r);
    r->loop.asks = (weir_notice){.fn = asked};
    if (weir_notice_expect(&r->loop.asks, r->farm->loop.deliver_to) == 0)
        weir_notice_post(&r->loop.asks, 0);
    else
        wr_request_unref(r);
}

static bool abandon_on_loop(weir_request *r)
{
    wr_debts debts;
    wr_lock(r->farm, &debts);
    wr_request_stop(r, &debts);
    wr_unlock(r->farm, &debts);
    go_on(r);
    return false;
}

static bool stops_on_loop(const weir_request *r) { return atomic_load(&r->stop); }

static const wr_runner on_loop = {run_on_loop, stop_on_loop, abandon_on_loop, stops_on_loop};

static int check_options(const weir_loop_options *o)
{
    if (!o || o->size != sizeof *o)
        return wr_fail(WEIR_EINVAL, "weir_remote_serve_loop: options are NULL, or their size is "
                                    "not sizeof(weir_loop_options)");
    if (!o->deliver_to)
        return wr_fail(WEIR_EINVAL, "weir_remote_serve_loop: deliver_to is NULL");
    if (!o->at_once || o->at_once > 65535)
        return wr_fail(WEIR_EINVAL, "weir_remote_serve_loop: at_once is %u; it is 1 to 65535",
                       o->at_once);
    return 0;
}

int weir_remote_serve_loop(weir_remote *farm, const weir_loop_options *options,
                           const weir_handler *handlers, size_t n)
{
    int code = check_options(options);
    return code ? code
                : wr_serve(farm, &(wr_server){&on_loop, NULL, options, options->at_once}, handlers,
                           n, "weir_remote_serve_loop");
}

void  weir_request_set_data(weir_request *request, void *data) { request->loop.data = data; }
void *weir_request_data(const weir_request *request) { return request->loop.data; }
