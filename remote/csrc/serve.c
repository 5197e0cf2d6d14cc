/* SPDX-License-Identifier: ISC
 *
 * serve: a farm's handlers.
 */
#include "serve.h"

#include "hub.h"
#include "io.h"

#include <stdlib.h>
#include <string.h>

static int check_names(const weir_handler *handlers, size_t n, const char *caller)
{
    for (size_t i = 0; i < n; i++) {
        if (!wr_is_name(handlers[i].name))
            return wr_fail(WEIR_EINVAL,
                           "%s: handler %zu: a name is 1 to %d of "
                           "[A-Za-z0-9._-], not '%.*s'",
                           caller, i, WEIR_REMOTE_NAME_MAX, WEIR_REMOTE_NAME_MAX,
                           handlers[i].name ? handlers[i].name : "(NULL)");
        if (!handlers[i].run || handlers[i].run_within_ns < 0)
            return wr_fail(WEIR_EINVAL, "%s: job %s: run is NULL, or run_within_ns is negative",
                           caller, handlers[i].name);
        for (size_t j = 0; j < i; j++)
            if (!strcmp(handlers[i].name, handlers[j].name))
                return wr_fail(WEIR_EINVAL, "%s: job %s stands twice", caller, handlers[i].name);
    }
    return 0;
}

static int check_serve(weir_remote *farm, const weir_handler *handlers, size_t n,
                       const char *caller)
{
    if (!farm || !handlers || !n)
        return wr_fail(WEIR_EINVAL, "%s: farm or handlers is NULL, or n is 0", caller);
    if (wr_is_forked(farm))
        return wr_fail(WEIR_EFORKED, "%s: the farm is the parent process's", caller);
    return check_names(handlers, n, caller);
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

static int install_handlers(weir_remote *farm, const wr_server *server, wr_handler *handlers,
                            size_t n, const char *caller)
{
    pthread_mutex_lock(&farm->lock);
    int code = farm->phase != WR_OPEN ? WEIR_ECLOSED : farm->runner ? WEIR_EBUSY : 0;
    if (!code) {
        farm->runner = server->runner;
        farm->served = server->pool;
        farm->loop = server->loop ? *server->loop : (weir_loop_options){0};
        farm->prefetch = server->prefetch;
        farm->handlers = handlers;
        farm->n_handlers = n;
    }
    pthread_mutex_unlock(&farm->lock);
    return code ? wr_fail(code, "%s: %s %s", caller, farm->url.shown,
                          code == WEIR_EBUSY ? "serves already" : "is closed")
                : 0;
}

/* Nobody has seen the handlers when what follows install failed. */
static void uninstall(weir_remote *farm)
{
    pthread_mutex_lock(&farm->lock);
    farm->runner = NULL;
    farm->handlers = NULL;
    farm->n_handlers = 0;
    pthread_mutex_unlock(&farm->lock);
}

int wr_serve(weir_remote *farm, const wr_server *server, const weir_handler *handlers, size_t n,
             const char *caller)
{
    int code = check_serve(farm, handlers, n, caller);
    if (code)
        return code;
    wr_handler *copies = copy(farm, handlers, n);
    if (!copies)
        return wr_fail(WEIR_ENOMEM, "%s: %s: no memory", caller, farm->url.shown);
    code = install_handlers(farm, server, copies, n, caller);
    if (!code && (code = farm->hub ? wr_hub_serve(farm->hub, farm) : wr_worker_start(farm)) != 0)
        uninstall(farm);
    if (code)
        free_handlers(copies, n);
    else
        warn(farm);
    return code;
}

/* ---- on a pool --------------------------------------------------------------------------- */

static int check_pool(const weir_remote *farm, const weir_pool_options *o)
{
    if (!o->queue_limit || (o->when_full == WEIR_REFUSE && farm->hub))
        return 0;
    return wr_fail(WEIR_EINVAL, "weir_remote_serve: pool %s has a queue_limit%s", o->name,
                   farm->hub ? " and a policy other than WEIR_REFUSE"
                             : "; the server hands over no more than its threads + 1");
}

int weir_remote_serve(weir_remote *farm, weir_pool *pool, const weir_handler *handlers, size_t n)
{
    weir_pool_options o = {.size = sizeof o};
    if (!farm || !pool)
        return wr_fail(WEIR_EINVAL, "weir_remote_serve: farm or pool is NULL");
    weir_pool_get_options(pool, &o);
    int code = check_pool(farm, &o);
    if (code)
        return code;
    unsigned threads = o.threads_max ? o.threads_max : o.threads;
    return wr_serve(farm, &(wr_server){&wr_on_pool, pool, NULL, threads + 1}, handlers, n,
                    "weir_remote_serve");
}
