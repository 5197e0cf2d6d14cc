/* SPDX-License-Identifier: ISC
 *
 * desk: items of what has come; jobs that bindings may cancel at any time.
 *
 * A job has two references: the farm's, from an accepted run until its done, and the
 * binding's. `over` is set by the done under the job's lock, so a cancel either comes first
 * and finds the farm there, or finds `over`.
 */
#include "desk.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct wb_desk {
    weir_main *main;
    wb_item   *first, **last;
};

struct wb_job {
    weir_job         job;
    wb_desk         *desk;
    wb_item         *item; /* made by run, so that done needs no memory for it */
    _Atomic unsigned refs;
    pthread_mutex_t  lock;
    bool             over; /* guarded by lock */
};

/* ---- items ------------------------------------------------------------------------------- */

static wb_item *new_item(enum wb_kind kind, uintptr_t number)
{
    wb_item *item = calloc(1, sizeof *item);
    if (item) {
        item->kind = kind;
        item->number = number;
    }
    return item;
}

static void append(wb_desk *desk, wb_item *item)
{
    item->next = NULL;
    *desk->last = item;
    desk->last = &item->next;
}

wb_item *wb_take(wb_desk *desk)
{
    wb_item *item = desk->first;
    if (item && !(desk->first = item->next))
        desk->last = &desk->first;
    return item;
}

void wb_item_free(wb_item *item)
{
    if (!item)
        return;
    free(item->type);
    free(item->bytes);
    free(item->error_name);
    free(item->error_text);
    free(item);
}

/* ---- the desk ------------------------------------------------------------------------------ */

int wb_open(wb_desk **out)
{
    wb_desk *desk = calloc(1, sizeof *desk);
    int      code = desk ? weir_main_open(&desk->main) : WEIR_ENOMEM;
    if (code) {
        free(desk);
        return code;
    }
    desk->last = &desk->first;
    *out = desk;
    return 0;
}

static void drop(wb_item *item)
{
    if (item->kind == WB_REQUEST)
        wb_release(item->request);
    wb_item_free(item);
}

void wb_close(wb_desk *desk)
{
    weir_main_close(desk->main, WEIR_DETACH);
    for (wb_item *item; (item = wb_take(desk));)
        drop(item);
    free(desk);
}

weir_main *wb_main(wb_desk *desk) { return desk->main; }
bool       wb_pending(const wb_desk *desk) { return desk->first || weir_main_pending(desk->main); }

void wb_turn(wb_desk *desk) { weir_main_dispatch(desk->main, 0); }
void wb_nudge(wb_desk *desk) { weir_main_nudge(desk->main); }

void wb_wait(wb_desk *desk)
{
    struct pollfd on = {.fd = weir_main_fd(desk->main), .events = POLLIN};
    if (!desk->first)
        poll(&on, 1, -1);
    wb_turn(desk);
}

/* ---- jobs ------------------------------------------------------------------------------------ */

const char *wb_id(const wb_job *job) { return job->job.id; }

void wb_unref(wb_job *job)
{
    if (!job || atomic_fetch_sub(&job->refs, 1) != 1)
        return;
    wb_item_free(job->item);
    pthread_mutex_destroy(&job->lock);
    free(job);
}

static bool copy_text(char **to, const char *from) { return !from || (*to = strdup(from)) != NULL; }

static bool copy_answer(wb_item *item, const weir_job *job)
{
    item->outcome = job->outcome;
    if (job->outcome)
        return copy_text(&item->error_name, job->error_name) &&
               copy_text(&item->error_text, job->error_text);
    item->size = job->result_size;
    if (job->result_size && !(item->bytes = malloc(job->result_size)))
        return false;
    if (job->result_size)
        memcpy(item->bytes, job->result, job->result_size);
    return copy_text(&item->type, job->content_type);
}

static void job_done(weir_job *job)
{
    wb_job  *j = (wb_job *)(void *)job; /* its first field */
    wb_item *item = j->item;
    pthread_mutex_lock(&j->lock);
    j->over = true;
    pthread_mutex_unlock(&j->lock);
    if (!copy_answer(item, job))
        item->outcome = WEIR_ENOMEM;
    j->item = NULL;
    append(j->desk, item);
    wb_unref(j);
}

static wb_job *new_job(wb_desk *desk, uintptr_t number)
{
    wb_job *j = calloc(1, sizeof *j);
    if (!j || !(j->item = new_item(WB_ANSWER, number))) {
        free(j);
        return NULL;
    }
    j->job.done = job_done;
    j->desk = desk;
    j->refs = 2;
    pthread_mutex_init(&j->lock, NULL);
    return j;
}

int wb_run(wb_desk *desk, weir_remote *farm, uintptr_t number, wb_job **out, const char *name,
           const void *bytes, size_t size, const weir_job_options *options)
{
    weir_job_options how = *options;
    wb_job          *j = new_job(desk, number);
    if (!j)
        return WEIR_ENOMEM;
    how.deliver_to = desk->main;
    int code = weir_remote_run(farm, &j->job, name, bytes, size, &how);
    if (code) {
        j->refs = 1;
        wb_unref(j);
        return code;
    }
    *out = j;
    return 0;
}

int wb_cancel(wb_job *job)
{
    pthread_mutex_lock(&job->lock);
    int code = job->over ? WEIR_EINVAL : weir_remote_cancel(&job->job);
    pthread_mutex_unlock(&job->lock);
    return code;
}

/* ---- what is counted --------------------------------------------------------------------------
 */

/* Once more if a count has grown by a digit meanwhile. */
char *wb_metrics(weir_remote *const *farms, size_t n)
{
    int size = weir_remote_metrics(farms, n, NULL, 0);
    while (size >= 0) {
        char *text = malloc((size_t)size + 1);
        int   now = text ? weir_remote_metrics(farms, n, text, (size_t)size + 1) : -1;
        if (now >= 0 && now <= size)
            return text;
        free(text);
        size = now;
    }
    return NULL;
}

/* ---- events -----------------------------------------------------------------------------------*/

typedef struct {
    weir_notice notice;
    wb_desk    *desk;
    wb_item    *item;
} event;

static void event_comes(weir_notice *notice, int outcome)
{
    event *e = (event *)(void *)notice; /* its first field */
    (void)outcome;
    append(e->desk, e->item);
    free(e);
}

/* Without memory an event is not told. */
void wb_on_event(void *listener, int code, const char *sentence)
{
    wb_listener *l = listener;
    event       *e = calloc(1, sizeof *e);
    wb_item     *item = new_item(WB_EVENT, l->number);
    if (e && item && copy_text(&item->error_text, sentence)) {
        item->outcome = code;
        *e = (event){.notice = {.fn = event_comes}, .desk = l->desk, .item = item};
        if (weir_notice_expect(&e->notice, e->desk->main) == 0) {
            weir_notice_post(&e->notice, 0);
            return;
        }
    }
    free(e);
    wb_item_free(item);
}

/* ---- requests -------------------------------------------------------------------------------- */

static int take_request(weir_request *request, void *arg)
{
    wb_desk *desk = arg;
    wb_item *item = new_item(WB_REQUEST, 0);
    if (!item || !(item->number = wb_hold(request))) {
        free(item);
        return WEIR_ENOMEM;
    }
    item->request = request;
    append(desk, item);
    return 0;
}

/* Without memory the request runs to its end. */
static void stop_request(weir_request *request, void *arg)
{
    wb_item *item = new_item(WB_STOP, (uintptr_t)weir_request_data(request));
    if (item)
        append(arg, item);
}

int wb_serve(wb_desk *desk, weir_remote *farm, const char *const *names,
             const int64_t *run_within_ns, size_t n, unsigned at_once)
{
    weir_loop_options how = {.size = sizeof how,
                             .deliver_to = desk->main,
                             .at_once = at_once,
                             .arg = desk,
                             .stop = stop_request,
                             .begins_later = true};
    weir_handler     *handlers = calloc(n ? n : 1, sizeof *handlers);
    if (!handlers)
        return WEIR_ENOMEM;
    for (size_t i = 0; i < n; i++)
        handlers[i] = (weir_handler){names[i], take_request, run_within_ns[i]};
    int code = weir_remote_serve_loop(farm, &how, handlers, n);
    free(handlers);
    return code;
}
