/* SPDX-License-Identifier: ISC
 *
 * serve: a farm's handlers.
 */
#include "hub.h"
#include "io.h"

#include <stdlib.h>
#include <string.h>

static int check_names(const weir_handler *handlers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!wr_is_name(handlers[i].name))
            return wr_fail(WEIR_EINVAL,
                           "weir_remote_serve: handler %zu: a name is 1 to %d of "
                           "[A-Za-z0-9._-], not '%.*s'",
                           i, WEIR_REMOTE_NAME_MAX, WEIR_REMOTE_NAME_MAX,
                           handlers[i].name ? handlers[i].name : "(NULL)");
        if (!handlers[i].run || handlers[i].run_within_ns < 0)
            return wr_fail(WEIR_EINVAL,
                           "weir_remote_serve: job %s: run is NULL, or run_within_ns "
                           "is negative",
                           handlers[i].name);
        for (size_t j = 0; j < i; j++)
            if (!strcmp(handlers[i].name, handlers[j].name))
                return wr_fail(WEIR_EINVAL, "weir_remote_serve: job %s stands twice",
                               handlers[i].name);
    }
    return 0;
}

static int check_serve(weir_remote *farm, weir_pool *pool, const weir_handler *handlers, size_t n)
{
    weir_pool_options options = {.size = sizeof options};
    if (!farm || !pool || !handlers || !n)
        return wr_fail(WEIR_EINVAL, "weir_remote_serve: farm, pool or handlers is NULL, or n is 0");
    if (wr_is_forked(farm))
        return wr_fail(WEIR_EFORKED, "weir_remote_serve: the farm is the parent process's");
    weir_pool_get_options(pool, &options);
    if (options.queue_limit && (options.when_full != WEIR_REFUSE || !farm->hub))
        return wr_fail(WEIR_EINVAL, "weir_remote_serve: pool %s has a queue_limit%s", options.name,
                       farm->hub ? " and a policy other than WEIR_REFUSE"
                                 : "; the server hands over no more than its threads + 1");
    return check_names(handlers, n);
}

static void warn(weir_remote *farm)
{
    for (size_t i = 0; i < farm->n_handlers; i++)
        if (farm->handlers[i].run_within > farm->options.consumer_timeout_ns && !farm->hub)
            wr_tell(farm, WEIR_EINVAL,
                    "job %s (queue weir.%s) at %s: run_within is longer than the server's "
                    "consumer_timeout, which will end the worker's connection first",
                    farm->handlers[i].name, farm->handlers[i].name, farm->url.shown);
}

static void free_handlers(wr_handler *handlers, size_t n)
{
    for (size_t i = 0; handlers && i < n; i++)
        free(handlers[i].name);
    free(handlers);
}

static wr_handler *copy(weir_remote *farm, const weir_handler *from, size_t n)
{
    wr_handler *to = calloc(n, sizeof *to);
    for (size_t i = 0; to && i < n; i++) {
        to[i] = (wr_handler){strdup(from[i].name), from[i].run, from[i].run_within_ns, farm};
        if (!to[i].name) {
            free_handlers(to, n);
            to = NULL;
        }
    }
    return to;
}

static int install_handlers(weir_remote *farm, weir_pool *pool, wr_handler *handlers, size_t n)
{
    pthread_mutex_lock(&farm->lock);
    int code = farm->phase != WR_OPEN ? WEIR_ECLOSED : farm->served ? WEIR_EBUSY : 0;
    if (!code) {
        farm->served = pool;
        farm->handlers = handlers;
        farm->n_handlers = n;
    }
    pthread_mutex_unlock(&farm->lock);
    return code ? wr_fail(code, "weir_remote_serve: %s %s", farm->url.shown,
                          code == WEIR_EBUSY ? "serves already" : "is closed")
                : 0;
}

/* Nobody has seen the handlers when what follows install failed. */
static void uninstall(weir_remote *farm)
{
    pthread_mutex_lock(&farm->lock);
    farm->served = NULL;
    farm->handlers = NULL;
    farm->n_handlers = 0;
    pthread_mutex_unlock(&farm->lock);
}

int weir_remote_serve(weir_remote *farm, weir_pool *pool, const weir_handler *handlers, size_t n)
{
    int code = check_serve(farm, pool, handlers, n);
    if (code)
        return code;
    wr_handler *copies = copy(farm, handlers, n);
    if (!copies)
        return wr_fail(WEIR_ENOMEM, "weir_remote_serve: %s: no memory", farm->url.shown);
    code = install_handlers(farm, pool, copies, n);
    if (!code && (code = farm->hub ? wr_hub_serve(farm->hub, farm) : wr_worker_start(farm)) != 0)
        uninstall(farm);
    if (code)
        free_handlers(copies, n);
    else
        warn(farm);
    return code;
}
