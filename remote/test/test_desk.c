/* SPDX-License-Identifier: ISC
 *
 * What bindings take from a desk: one item for each thing that came, in order.
 */
#include "desk.h"
#include "rig.h"

#include <string.h>

typedef struct {
    wb_desk     *desk;
    weir_remote *farm;
    wb_listener  listener;
} post;

static void post_open(post *p, const char *url)
{
    weir_remote_options o = options_of(url);
    expect_eq(wb_open(&p->desk), 0);
    p->listener = (wb_listener){p->desk, 7};
    o.on_event = wb_on_event;
    o.arg = &p->listener;
    expect_eq(weir_remote_open(&p->farm, &o), 0);
}

static void post_close(post *p)
{
    expect_eq(weir_remote_close(p->farm, WEIR_REMOTE_CANCEL, wb_main(p->desk), -1), 0);
    wb_close(p->desk);
}

static wb_item *wait_for(post *p, enum wb_kind kind)
{
    wb_item *item;
    while (!(item = wb_take(p->desk)))
        wb_wait(p->desk);
    expect_eq(item->kind, kind);
    return item;
}

static wb_job *run(post *p, uintptr_t number, const char *text)
{
    wb_job          *job;
    weir_job_options how = {.size = sizeof how, .content_type = "text/plain"};
    expect_eq(wb_run(p->desk, p->farm, number, &job, "job", text, strlen(text), &how), 0);
    return job;
}

static void serve(post *p)
{
    expect_eq(wb_serve(p->desk, p->farm, (const char *[]){"job"}, (int64_t[]){0}, 1, 2), 0);
}

TEST(a_request_and_its_answer_come_as_items)
{
    post p;
    post_open(&p, "local:");
    serve(&p);
    wb_job  *job = run(&p, 41, "hello");
    wb_item *request = wait_for(&p, WB_REQUEST);
    expect(wb_pending(p.desk));
    expect(!strcmp(weir_request_id(request->request), wb_id(job)));
    expect_eq(wb_begin(request->number), 0);
    expect_eq(wb_begin(request->number), WEIR_EBUSY);
    expect_eq(weir_request_reply_as(request->request, "text/x", "back", 4), 0);
    wb_release(request->request);
    wb_item_free(request);
    wb_item *answer = wait_for(&p, WB_ANSWER);
    expect_eq(answer->number, 41);
    expect_eq(answer->outcome, 0);
    expect(answer->size == 4 && !memcmp(answer->bytes, "back", 4));
    expect(!strcmp(answer->type, "text/x"));
    expect_eq(wb_cancel(job), WEIR_EINVAL); /* it has come */
    wb_item_free(answer);
    wb_unref(job);
    expect(!wb_pending(p.desk));
    post_close(&p);
}

TEST(a_cancel_tells_the_one_side_an_answer_and_the_other_a_stop)
{
    post p;
    post_open(&p, "local:");
    serve(&p);
    wb_job   *job = run(&p, 1, "");
    wb_item  *request = wait_for(&p, WB_REQUEST);
    uintptr_t number = request->number;
    expect_eq(wb_cancel(job), 0);
    bool answered = false, stopped = false;
    while (!answered || !stopped) {
        wb_item *item = wb_take(p.desk);
        if (item) {
            answered |= item->kind == WB_ANSWER && item->outcome == WEIR_ECANCELED;
            stopped |= item->kind == WB_STOP && item->number == number;
        } else
            wb_wait(p.desk);
        wb_item_free(item);
    }
    expect_eq(wb_begin(number), WEIR_ECANCELED);
    wb_release(request->request);
    wb_item_free(request);
    wb_unref(job);
    post_close(&p);
}

static void *cancels(void *job)
{
    wb_cancel(job);
    wb_unref(job);
    return NULL;
}

/* The answer and the cancel race: one item comes, and the job's memory lasts for both. */
TEST(a_cancel_on_another_thread_races_with_the_answer)
{
    post      p;
    pthread_t thread;
    post_open(&p, "local:");
    serve(&p);
    for (int i = 0; i < (int)scaled(200); i++) {
        wb_job  *job = run(&p, (uintptr_t)i + 1, "");
        wb_item *item = wait_for(&p, WB_REQUEST);
        expect_eq(pthread_create(&thread, NULL, cancels, job), 0);
        weir_request_reply(item->request, "x", 1);
        wb_release(item->request);
        wb_item_free(item);
        for (bool answered = false; !answered; wb_item_free(item)) {
            while (!(item = wb_take(p.desk)))
                wb_wait(p.desk);
            answered = item->kind == WB_ANSWER;
            expect(!answered || item->outcome == 0 || item->outcome == WEIR_ECANCELED);
            expect(!answered || item->number == (uintptr_t)i + 1);
        }
        pthread_join(thread, NULL);
    }
    post_close(&p);
}

/* More than the table's first room; of those that were released a number means none, though their
 * places are taken again. */
TEST(a_number_means_its_request_until_that_is_released)
{
    enum { N = 40 };
    post          p;
    wb_job       *jobs[2 * N];
    weir_request *held[N];
    uintptr_t     old[N];
    post_open(&p, "local:");
    serve(&p);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < N; i++) {
            jobs[round * N + i] = run(&p, (uintptr_t)i + 1, "");
            wb_item *item = wait_for(&p, WB_REQUEST);
            held[i] = item->request;
            expect(!round || wb_begin(old[i]) == WEIR_ECANCELED);
            expect_eq((uintptr_t)weir_request_data(held[i]), item->number);
            expect(item->number && (double)item->number == item->number); /* Lua's */
            old[i] = item->number;
            wb_item_free(item);
        }
        for (int i = 0; i < N; i++) {
            expect_eq(wb_begin(old[i]), 0);
            wb_release(held[i]);
            expect_eq(wb_begin(old[i]), WEIR_ECANCELED);
            wb_item_free(wait_for(&p, WB_ANSWER));
        }
    }
    expect_eq(wb_begin(0), WEIR_ECANCELED);
    for (int i = 0; i < 2 * N; i++)
        wb_unref(jobs[i]);
    post_close(&p);
}

typedef struct {
    uintptr_t    number;
    _Atomic bool begun;
} beginner;

static void *begins(void *arg)
{
    beginner *b = arg;
    atomic_store(&b->begun, wb_begin(b->number) == 0);
    return NULL;
}

/* A state that ends releases what it has while its pool's threads begin it. */
TEST(a_begin_and_a_release_race)
{
    post      p;
    pthread_t thread;
    post_open(&p, "local:");
    serve(&p);
    for (int i = 0; i < (int)scaled(200); i++) {
        wb_job  *job = run(&p, (uintptr_t)i + 1, "");
        wb_item *item = wait_for(&p, WB_REQUEST);
        beginner b = {.number = item->number};
        expect_eq(pthread_create(&thread, NULL, begins, &b), 0);
        wb_release(item->request);
        wb_item_free(item);
        wb_item_free(wait_for(&p, WB_ANSWER));
        pthread_join(thread, NULL);
        expect_eq(wb_begin(b.number), WEIR_ECANCELED);
        wb_unref(job);
    }
    post_close(&p);
}

TEST(a_job_without_a_worker_has_an_error)
{
    post p;
    post_open(&p, "local:");
    wb_job  *job = run(&p, 3, "");
    wb_item *answer = wait_for(&p, WB_ANSWER);
    expect_eq(answer->outcome, WEIR_REMOTE_ENAME);
    expect(has(answer->error_text, "job"));
    wb_item_free(answer);
    wb_unref(job);
    wb_unref(NULL);
    post_close(&p);
}

static void *nudges(void *desk)
{
    wb_nudge(desk);
    return NULL;
}

TEST(an_event_has_its_listeners_number_and_a_nudge_ends_a_wait)
{
    post      p;
    pthread_t thread;
    post_open(&p, "local:");
    wb_on_event(&p.listener, WEIR_EINVAL, "a sentence");
    wb_item *item = wait_for(&p, WB_EVENT);
    expect_eq(item->number, 7);
    expect_eq(item->outcome, WEIR_EINVAL);
    expect(!strcmp(item->error_text, "a sentence"));
    wb_item_free(item);
    expect_eq(pthread_create(&thread, NULL, nudges, p.desk), 0);
    wb_wait(p.desk);
    expect(!wb_take(p.desk));
    pthread_join(thread, NULL);
    post_close(&p);
}

SUITE(desk, a_request_and_its_answer_come_as_items,
      a_cancel_tells_the_one_side_an_answer_and_the_other_a_stop,
      a_cancel_on_another_thread_races_with_the_answer,
      a_number_means_its_request_until_that_is_released, a_begin_and_a_release_race,
      a_job_without_a_worker_has_an_error,
      an_event_has_its_listeners_number_and_a_nudge_ends_a_wait)
