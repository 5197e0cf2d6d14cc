/* SPDX-License-Identifier: ISC
 *
 * The rooms that need no farm: alarms, ids, lists, answers, names.
 */
#include "alarms.h"
#include "answer.h"
#include "harness.h"
#include "ids.h"
#include "list.h"
#include "say.h"
#include "weir_remote.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Against a model: an array of times in which the least is looked for. */
static int64_t least(const wr_alarm *a, int n)
{
    int64_t at = 0;
    for (int i = 0; i < n; i++)
        if (a[i].place && (!at || a[i].at < at))
            at = a[i].at;
    return at;
}

TEST(alarms_ring_in_the_order_of_their_times)
{
    enum { N = 50 };
    wr_alarms all = {0};
    wr_alarm  a[N] = {{0}};
    uint64_t  seed = test_seed();
    for (int i = 0; i < N; i++)
        expect_eq(wr_alarms_promise(&all), 0);
    for (int round = 0; round < 5000; round++) {
        wr_alarm *one = &a[rnd(&seed) % N];
        int64_t   before = least(a, N), at = rnd(&seed) % 4 ? 1 + rnd(&seed) % 1000 : 0;
        bool      changed = wr_alarm_set(&all, one, at);
        expect_eq(wr_alarms_next(&all), least(a, N));
        expect_eq(changed, least(a, N) != before);
    }
    for (int64_t last = 0; all.n;) {
        expect(!wr_alarms_due(&all, wr_alarms_next(&all) - 1));
        wr_alarm *due = wr_alarms_due(&all, wr_alarms_next(&all));
        expect_op(due->at, >=, last);
        expect_eq(due->place, 0);
        last = due->at;
    }
    wr_alarms_clear(&all);
}

TEST(a_job_is_found_by_its_id_until_it_is_removed)
{
    enum { N = 500 };
    static wr_known k[N];
    wr_ids          ids = {0};
    expect(!wr_ids_find(&ids, "nothing", 7));
    for (int i = 0; i < N; i++) {
        expect_eq(wr_make_id(k[i].id), 0);
        expect_eq(wr_ids_add(&ids, &k[i]), 0);
    }
    for (int i = 0; i < N; i += 2)
        wr_ids_remove(&ids, &k[i]);
    for (int i = 0; i < N; i++)
        expect(wr_ids_find(&ids, k[i].id, 36) == (i % 2 ? &k[i] : NULL));
    expect(!wr_ids_find(&ids, k[1].id, 35));
    expect_eq(ids.n, N / 2);
    wr_ids_clear(&ids);
}

TEST(what_is_prepended_comes_first_and_in_its_order)
{
    wr_node a, b, n[4], empty;
    wr_list_init(&a);
    wr_list_init(&b);
    wr_list_init(&empty);
    for (int i = 0; i < 4; i++)
        wr_list_push(i < 2 ? &a : &b, &n[i]);
    wr_list_prepend(&b, &a);
    wr_list_prepend(&b, &empty);
    expect(wr_list_empty(&a));
    for (int i = 0; i < 4; i++)
        expect(wr_list_pop(&b) == &n[i]);
    expect(!wr_list_pop(&b));
}

TEST(an_answer_is_copied_whole)
{
    wr_answer  from = {"text/plain", NULL, "why", "a\0b", 3};
    wr_answer *copy = wr_answer_copy(&from);
    expect(!strcmp(copy->content_type, "text/plain"));
    expect(!copy->error_name);
    expect(!strcmp(copy->error_text, "why"));
    expect_eq(copy->size, 3);
    expect(!memcmp(copy->bytes, "a\0b", 3));
    free(copy);
}

TEST(a_name_fits_into_a_queue_s_name)
{
    char longest[WEIR_REMOTE_NAME_MAX + 2];
    memset(longest, 'a', sizeof longest);
    longest[WEIR_REMOTE_NAME_MAX] = 0;
    expect(wr_is_name("thumbs.resize-2_A") && wr_is_name(longest));
    longest[WEIR_REMOTE_NAME_MAX] = 'a';
    longest[WEIR_REMOTE_NAME_MAX + 1] = 0;
    expect(!wr_is_name(longest));
    expect(!wr_is_name(NULL) && !wr_is_name("") && !wr_is_name("a b") && !wr_is_name("a/b"));
}

TEST(an_id_is_a_random_uuid)
{
    char a[WR_ID], b[WR_ID];
    expect_eq(wr_make_id(a), 0);
    expect_eq(wr_make_id(b), 0);
    expect(strcmp(a, b));
    expect_eq(strlen(a), 36);
    expect_eq(a[14], '4');
    expect(strchr("89ab", a[19]));
}

SUITE(rooms, alarms_ring_in_the_order_of_their_times, a_job_is_found_by_its_id_until_it_is_removed,
      what_is_prepended_comes_first_and_in_its_order, an_answer_is_copied_whole,
      a_name_fits_into_a_queue_s_name, an_id_is_a_random_uuid)
