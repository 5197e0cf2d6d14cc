/* SPDX-License-Identifier: ISC
 *
 * close: sets the phase. What is left then empties the farm: answers, the give-up, handlers
 * that return. Whoever takes away the last job or request wakes the clock and the I/O threads
 * (wr_unlock), which end. The last of these tells the closer.
 */
#include "client.h"
#include "hub.h"
#include "io.h"

#include <errno.h>
#include <time.h>

/* ---- close ------------------------------------------------------------------------------- */

static void settle_all_locked(weir_remote *farm, wr_debts *debts)
{
    while (!wr_list_empty(&farm->flights))
        wr_settle_locked(wr_of(farm->flights.next, wr_flight, in), WEIR_ECLOSED,
                         "the farm is closed", NULL, debts);
    for (wr_node *n = farm->requests.next; n != &farm->requests; n = n->next)
        wr_request_stop(wr_of(n, weir_request, in), debts);
}

static void cut(wr_alarm *alarm, wr_debts *debts)
{
    (void)debts;
    wr_io_cut_locked(wr_of(alarm, weir_remote, cut));
}

static void begin_close(weir_remote *farm, unsigned how)
{
    wr_debts      debts;
    enum wr_phase to = how == WEIR_REMOTE_CANCEL ? WR_CANCELLING : WR_DRAINING;
    if (farm->hub)
        wr_hub_stop(farm->hub, farm);
    wr_lock(farm, &debts);
    if (farm->phase < to)
        farm->phase = to;
    if (farm->phase == WR_CANCELLING)
        settle_all_locked(farm, &debts);
    if (farm->phase == WR_CANCELLING && !farm->cut.place) {
        farm->cut.ring = cut;
        wr_set_alarm_locked(farm, &farm->cut, weir_now() + farm->options.connect_within_ns, &debts);
    }
    for (unsigned i = 0; i < WR_IOS; i++)
        wr_want_locked(farm, i, &debts);
    pthread_cond_broadcast(&farm->changed); /* submitters that wait for space */
    wr_unlock(farm, &debts);
}

/* deadline 0: none. Returns 0 or WEIR_ETIMEDOUT. */
static int sleep_until_ended(weir_remote *farm, int64_t deadline)
{
    struct timespec until = {.tv_sec = deadline / 1000000000, .tv_nsec = deadline % 1000000000};
    int             code = 0;
    pthread_mutex_lock(&farm->lock);
    while (farm->n_tasks && code != ETIMEDOUT)
        code = deadline ? pthread_cond_timedwait(&farm->changed, &farm->lock, &until)
                        : pthread_cond_wait(&farm->changed, &farm->lock);
    code = farm->n_tasks ? WEIR_ETIMEDOUT : 0;
    pthread_mutex_unlock(&farm->lock);
    return code;
}

static bool has_ended(weir_remote *farm)
{
    pthread_mutex_lock(&farm->lock);
    bool ended = !farm->n_tasks && !farm->ended_at;
    pthread_mutex_unlock(&farm->lock);
    return ended;
}

static void end_told(weir_notice *notice, int outcome)
{
    weir_remote *farm = wr_of(notice, weir_remote, ended);
    (void)outcome;
    pthread_mutex_lock(&farm->lock);
    farm->ended_at = NULL;
    pthread_mutex_unlock(&farm->lock);
}

/* Has the last task's end wake main, once. */
static int expect_end(weir_remote *farm, weir_main *main)
{
    pthread_mutex_lock(&farm->lock);
    weir_main *before = farm->ended_at;
    pthread_mutex_unlock(&farm->lock);
    if (before)
        return before == main ? 0
                              : wr_fail(WEIR_EBUSY, "weir_remote_close: an earlier call named "
                                                    "another main");
    farm->ended.fn = end_told;
    int code = weir_notice_expect(&farm->ended, main);
    if (code == WEIR_EBUSY)
        return wr_fail(code, "weir_remote_close: another call is under way");
    if (code)
        return wr_fail(code, "weir_remote_close: main is closed");
    pthread_mutex_lock(&farm->lock);
    farm->ended_at = main;
    bool late = !farm->n_tasks;
    pthread_mutex_unlock(&farm->lock);
    if (late)
        weir_notice_post(&farm->ended, 0);
    return 0;
}

static int dispatch_until_ended(weir_remote *farm, weir_main *main, int64_t deadline)
{
    int code = has_ended(farm) ? 0 : expect_end(farm, main);
    while (!code && !has_ended(farm)) {
        int64_t left = deadline ? deadline - weir_now() : -1;
        if (deadline && left <= 0)
            return WEIR_ETIMEDOUT;
        if (weir_main_wait(main, left) < 0)
            code = WEIR_EPERM;
    }
    return code;
}

static int check_close(const weir_remote *farm, unsigned how, weir_main *main)
{
    if (how > WEIR_REMOTE_CANCEL)
        return wr_fail(WEIR_EINVAL, "weir_remote_close: how is %u", how);
    if (wr_is_forked(farm))
        return wr_fail(WEIR_EFORKED, "weir_remote_close: the farm is the parent process's");
    if (wr_request_here() == farm || wr_flight_here() == farm)
        return wr_fail(WEIR_EDEADLK, "weir_remote_close: inside a handler or a done of the farm");
    if (main && weir_main_dispatch(main, 0) < 0)
        return wr_fail(WEIR_EPERM, "weir_remote_close: main is another thread's");
    return 0;
}

int weir_remote_close(weir_remote *farm, unsigned how, weir_main *main, int64_t timeout_ns)
{
    int code = farm ? check_close(farm, how, main) : 0;
    if (!farm || code)
        return code;
    int64_t now = weir_now(),
            deadline = timeout_ns < 0 || timeout_ns > INT64_MAX - now ? 0 : now + timeout_ns;
    begin_close(farm, how);
    code = main ? dispatch_until_ended(farm, main, deadline) : sleep_until_ended(farm, deadline);
    if (code == WEIR_ETIMEDOUT)
        return wr_fail(code, "weir_remote_close: %s still closes", farm->url.shown);
    if (code)
        return code;
    weir_close(farm->pool, WEIR_CLOSE);
    wr_farm_unref(farm);
    return 0;
}
