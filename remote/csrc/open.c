/* SPDX-License-Identifier: ISC
 *
 * open: a farm begins, and tells of itself.
 */
#define _GNU_SOURCE /* pthread_condattr_setclock */
#include "client.h"
#include "clock.h"
#include "fork.h"
#include "hub.h"
#include "io.h"
#include "options.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* ---- memory ------------------------------------------------------------------------- */

static void destroy(weir_remote *farm)
{
    for (size_t i = 0; i < farm->n_handlers; i++)
        free(farm->handlers[i].name);
    free(farm->handlers);
    wr_io_free(farm);              /* not earlier: whoever has run a job may be about to send it */
    weir_pool_release(farm->pool); /* not earlier: whoever owes an unpark needs the handle */
    wr_hub_leave(farm->hub);
    wr_ids_clear(&farm->ids);
    wr_alarms_clear(&farm->alarms);
    wr_options_clear(&farm->options);
    wr_url_clear(&farm->url);
    pthread_cond_destroy(&farm->changed);
    pthread_mutex_destroy(&farm->lock);
    free(farm);
}

static void make_lock(weir_remote *farm)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&farm->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&farm->lock, NULL);
}

static void make_lists(weir_remote *farm)
{
    wr_node *heads[] = {&farm->flights,    &farm->sent,       &farm->requests,  &farm->unwanted,
                        &farm->waiting[0], &farm->waiting[1], &farm->waiting[2]};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        wr_list_init(heads[i]);
}

static int join_hub(weir_remote *farm)
{
    if (!farm->url.local)
        return 0;
    farm->hub = wr_hub_join(farm->url.host);
    return farm->hub ? 0 : wr_fail(WEIR_ENOMEM, "weir_remote_open: no memory");
}

static weir_remote *make_farm(const weir_remote_options *options, int *code)
{
    char         id[WR_ID];
    weir_remote *farm = calloc(1, sizeof *farm);
    if (!farm) {
        *code = wr_fail(WEIR_ENOMEM, "weir_remote_open: no memory");
        return NULL;
    }
    make_lock(farm);
    make_lists(farm);
    farm->refs = 1;
    farm->destroy = destroy;
    farm->forks = wr_forks();
    farm->give_up.ring = wr_client_give_up;
    *code = wr_alarms_promise(&farm->alarms);
    *code = *code ? *code : wr_alarms_promise(&farm->alarms); /* give_up, cut */
    *code = *code ? *code : wr_options_read(&farm->options, &farm->url, options);
    *code = *code ? *code : wr_make_id(id);
    *code = *code ? *code : join_hub(farm);
    if (*code) {
        wr_farm_unref(farm);
        return NULL;
    }
    snprintf(farm->reply_queue, sizeof farm->reply_queue, "weir.reply.%s", id);
    return farm;
}

/* ---- open ---------------------------------------------------------------------------- */

static int open_pool(weir_remote *farm)
{
    weir_pool_options options = {.size = sizeof options, .name = "remote", .threads = 1};
    options.lazy = farm->hub != NULL;
    options.threads_max = farm->hub ? 1 : 2; /* the clock beside the I/O thread */
    int code = weir_pool_open(&farm->pool, &options);
    return code ? wr_fail(code, "weir_remote_open: %s: %s", farm->url.shown, weir_strerror(code))
                : 0;
}

static int start_all(weir_remote *farm)
{
    int code = wr_clock_start(farm);
    if (!code && !farm->hub)
        code = wr_client_start(farm);
    return code ? wr_fail(code, "weir_remote_open: %s: %s", farm->url.shown, weir_strerror(code))
                : 0;
}

int weir_remote_open(weir_remote **out, const weir_remote_options *options)
{
    int          code = WEIR_EINVAL;
    weir_remote *farm = NULL;
    if (!out)
        return wr_fail(code, "weir_remote_open: out is NULL");
    farm = make_farm(options, &code);
    if (!farm)
        return code;
    code = open_pool(farm);
    if (code) {
        wr_farm_unref(farm);
        return code;
    }
    code = start_all(farm);
    if (code)
        weir_remote_close(farm, WEIR_REMOTE_CANCEL, NULL, -1);
    else
        *out = farm;
    return code;
}

/* ---- what it tells ----------------------------------------------------------------------- */

int weir_remote_get_options(const weir_remote *farm, weir_remote_options *options)
{
    if (!farm || !options || options->size != sizeof *options)
        return wr_fail(WEIR_EINVAL, "weir_remote_get_options: farm or options are NULL, or their "
                                    "size is not sizeof(weir_remote_options)");
    *options = farm->options;
    return 0;
}

static size_t count(const wr_node *head)
{
    size_t n = 0;
    for (const wr_node *at = head->next; at != head; at = at->next)
        n++;
    return n;
}

static bool is_connected_locked(const weir_remote *farm)
{
    unsigned worker = 1U << WR_TAKER | 1U << WR_ANSWERER;
    if (!farm->runner || farm->hub)
        return farm->stats.connected;
    return (farm->up & worker) == worker && (farm->stats.connected || !farm->n_flights);
}

int weir_remote_get_stats(weir_remote *farm, weir_remote_stats *stats)
{
    if (!farm || !stats || stats->size != sizeof *stats)
        return wr_fail(WEIR_EINVAL, "weir_remote_get_stats: farm or stats are NULL, or their size "
                                    "is not sizeof(weir_remote_stats)");
    if (wr_is_forked(farm))
        return wr_fail(WEIR_EFORKED, "weir_remote_get_stats: the farm is the parent process's");
    pthread_mutex_lock(&farm->lock);
    *stats = farm->stats;
    stats->size = sizeof *stats;
    stats->connected = is_connected_locked(farm);
    stats->in_flight = farm->n_flights;
    stats->requests = farm->n_requests;
    for (unsigned i = 0; i < WEIR_LEVELS; i++)
        stats->waiting += count(&farm->waiting[i]);
    pthread_mutex_unlock(&farm->lock);
    return 0;
}
