/* SPDX-License-Identifier: ISC
 *
 * hub: farms of this process that meet by name.
 *
 * A request of a hub holds the flight that it answers. The flight finds its request under the
 * lock of its farm, and only until the request has settled it.
 */
#include "hub.h"

#include "client.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_FARMS = 64, ATTEMPTS = 20 }; /* as many as the policy that setup prints */

struct wr_hub {
    struct wr_hub *next; /* of the named ones */
    unsigned       users;
    weir_remote   *serving[MOST_FARMS];
    unsigned       n_serving;
    char           name[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static wr_hub         *named; /* guarded by lock, as all of each hub but its name */

/* ---- who is there ------------------------------------------------------------------- */

static wr_hub *find_hub_locked(const char *name)
{
    wr_hub *hub = named;
    while (hub && (!*name || strcmp(hub->name, name)))
        hub = hub->next;
    return hub;
}

static wr_hub *make_hub_locked(const char *name)
{
    wr_hub *hub = calloc(1, sizeof *hub + strlen(name) + 1);
    if (!hub)
        return NULL;
    memcpy(hub->name, name, strlen(name) + 1);
    hub->next = named;
    return named = hub;
}

wr_hub *wr_hub_join(const char *name)
{
    pthread_mutex_lock(&lock);
    wr_hub *hub = find_hub_locked(name);
    hub = hub ? hub : make_hub_locked(name);
    if (hub)
        hub->users++;
    pthread_mutex_unlock(&lock);
    return hub;
}

void wr_hub_leave(wr_hub *hub)
{
    if (!hub)
        return;
    pthread_mutex_lock(&lock);
    if (--hub->users == 0) {
        wr_hub **at = &named;
        while (*at != hub)
            at = &(*at)->next;
        *at = hub->next;
        free(hub);
    }
    pthread_mutex_unlock(&lock);
}

static const wr_handler *handler_locked(const wr_hub *hub, const char *name)
{
    for (unsigned i = 0; i < hub->n_serving; i++)
        for (size_t j = 0; j < hub->serving[i]->n_handlers; j++)
            if (!strcmp(hub->serving[i]->handlers[j].name, name))
                return &hub->serving[i]->handlers[j];
    return NULL;
}

static int serve_locked(wr_hub *hub, weir_remote *farm)
{
    for (size_t i = 0; i < farm->n_handlers; i++)
        if (handler_locked(hub, farm->handlers[i].name))
            return wr_fail(WEIR_EBUSY, "job %s at %s is served already", farm->handlers[i].name,
                           farm->url.shown);
    if (hub->n_serving == MOST_FARMS)
        return wr_fail(WEIR_EBUSY, "%s has %d farms that serve", farm->url.shown, MOST_FARMS);
    hub->serving[hub->n_serving++] = farm;
    return 0;
}

int wr_hub_serve(wr_hub *hub, weir_remote *farm)
{
    pthread_mutex_lock(&lock);
    int code = serve_locked(hub, farm);
    pthread_mutex_unlock(&lock);
    return code;
}

void wr_hub_stop(wr_hub *hub, weir_remote *farm)
{
    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < hub->n_serving; i++)
        if (hub->serving[i] == farm)
            hub->serving[i--] = hub->serving[--hub->n_serving];
    pthread_mutex_unlock(&lock);
}

/* ---- a job on its way ------------------------------------------------------------------ */

typedef struct {
    weir_request request;
    wr_flight   *flight;
} local_request;

static void settle(wr_flight *f, int outcome, const char *why, wr_answer *answer)
{
    wr_debts debts;
    wr_lock(f->farm, &debts);
    f->request = NULL;
    wr_settle_locked(f, outcome, why, answer, &debts);
    wr_unlock(f->farm, &debts);
}

static wr_answer *take_answer(weir_request *r)
{
    wr_debts debts;
    wr_lock(r->farm, &debts);
    wr_answer *answer = r->answer;
    r->answer = NULL;
    wr_unlock(r->farm, &debts);
    return answer;
}

static bool local_begins(weir_request *r)
{
    wr_flight *f = wr_of(r, local_request, request)->flight;
    wr_debts   debts;
    if (!f->start_by)
        return true;
    wr_lock(f->farm, &debts);
    f->started = true;
    if (f->state != WR_SETTLED)
        wr_flight_arm_locked(f, &debts);
    wr_unlock(f->farm, &debts);
    return true;
}

static void end_with(weir_request *r, int outcome, const char *why)
{
    settle(wr_of(r, local_request, request)->flight, outcome, why, take_answer(r));
    wr_request_end(r);
}

/* Its answer of before is forgotten. */
static bool run_again(weir_request *r)
{
    wr_debts debts;
    if (r->attempt >= ATTEMPTS || atomic_load(&r->stop))
        return false;
    wr_lock(r->farm, &debts);
    r->answered = false;
    r->verdict = WR_SILENT;
    r->attempt++;
    wr_unlock(r->farm, &debts);
    return wr_request_run(r, NULL) == 0;
}

static void local_over(weir_request *r, wr_verdict verdict)
{
    switch (verdict) {
    case WR_SILENT: end_with(r, WEIR_REMOTE_ERAISED, "its handler gave no answer"); break;
    case WR_REPLY: end_with(r, 0, NULL); break;
    case WR_RAISED: end_with(r, WEIR_REMOTE_ERAISED, NULL); break;
    case WR_RETRY:
        if (!run_again(r))
            end_with(r, WEIR_REMOTE_ELOST, "its handler gave it back too often, or too late");
        break;
    case WR_HUNG: end_with(r, WEIR_ETIMEDOUT, "its handler ran longer than run_within"); break;
    case WR_STOPPED: end_with(r, WEIR_ECANCELED, "cancelled before it ran"); break;
    case WR_EXPIRED: end_with(r, WEIR_EEXPIRED, "no worker had started it by its deadline"); break;
    case WR_UNSERVED: end_with(r, WEIR_REMOTE_ELOST, "its pool has closed or dropped it"); break;
    }
}

static void free_request(weir_request *r)
{
    local_request *l = wr_of(r, local_request, request);
    wr_flight_unref(l->flight);
    free(l);
}

static const wr_route route = {local_begins, local_over, free_request};

/* The alarm of the flight settles on time, also while each thread of the pool is stuck. This
 * keeps the task from starting late. */
static int64_t start_within(const wr_flight *f)
{
    int64_t left = f->start_by - weir_now();
    return !f->start_by ? 0 : left > 1 ? left : 1;
}

static local_request *new_request(wr_flight *f, const wr_handler *handler)
{
    local_request *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    l->request.route = &route;
    l->request.handler = handler;
    l->request.id = f->known.id;
    l->request.content_type = f->content_type;
    l->request.bytes = f->bytes;
    l->request.size = f->size;
    l->request.attempt = 1;
    l->request.level = f->level;
    l->request.start_within = start_within(f);
    wr_flight_ref(l->flight = f);
    return l;
}

/* The flight may have been settled, by a cancel for one: then the request is told. */
static void tie(wr_flight *f, weir_request *r)
{
    wr_debts debts;
    wr_lock(f->farm, &debts);
    if (f->state == WR_SETTLED)
        wr_request_stop(r, &debts);
    else
        f->request = r;
    wr_unlock(f->farm, &debts);
}

static const char *hand_over(wr_flight *f, const wr_handler *handler, int *code)
{
    local_request *l = new_request(f, handler);
    *code = WEIR_ENOMEM;
    if (!l)
        return "no memory";
    if ((*code = wr_request_take(&l->request, handler->farm)) != 0) {
        free_request(&l->request);
        *code = *code == WEIR_ECLOSED ? WEIR_REMOTE_ENAME : *code;
        return "what serves it closes";
    }
    tie(f, &l->request); /* before the run, because it may be over at once */
    if ((*code = wr_request_run(&l->request, NULL)) == WEIR_EFULL)
        end_with(&l->request, WEIR_EFULL, "the queue of its pool is full");
    else if (*code)
        local_over(&l->request, WR_UNSERVED);
    *code = 0;
    return NULL;
}

static const wr_handler *find(wr_flight *f)
{
    pthread_mutex_lock(&lock);
    const wr_handler *handler = handler_locked(f->farm->hub, f->name);
    if (handler)
        wr_farm_ref(handler->farm);
    pthread_mutex_unlock(&lock);
    return handler;
}

void wr_hub_send(wr_flight *f)
{
    const wr_handler *handler = find(f);
    int               code = WEIR_REMOTE_ENAME;
    const char       *why = "nobody serves this name";
    if (handler) {
        why = hand_over(f, handler, &code);
        wr_farm_unref(handler->farm);
    }
    if (code)
        settle(f, code, why, NULL);
}
