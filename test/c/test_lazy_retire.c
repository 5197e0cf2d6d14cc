/* SPDX-License-Identifier: ISC
 *
 * test_lazy_retire.c: lazy pools whose threads retire while others submit.
 */
#include "lazy.h"

typedef struct {
    helper     h;
    weir_pool *p;
    uint64_t   random;
    tally     *settled;
    probe      t[64];
} submitter;

/* Submits a few, waits until they are over, and so meets threads that retire. */
static void submits(void *arg)
{
    submitter *s = arg;
    for (unsigned round = 0, all = scaled(400); round < all; round++) {
        unsigned n = 1 + rnd(&s->random) % 3;
        for (unsigned i = 0; i < n; i++) {
            s->t[i] = (probe){.task = {.run = probe_run}};
            expect_eq(weir_run(s->p, &s->t[i].task, NULL), 0);
        }
        for (unsigned i = 0; i < n; i++) {
            expect_eq(weir_wait(&s->t[i].task, -1), 0);
            expect(s->t[i].runs == 1 && weir_task_outcome(&s->t[i].task) == 0);
        }
        tally_add(s->settled, n);
    }
}

static void submit_from(unsigned n, weir_pool_options opts)
{
    static submitter s[3];
    rig              r;
    tally            settled = TALLY;
    expect(rig_open_with(&r, &opts));
    for (unsigned i = 0; i < n; i++) {
        s[i].p = r.p, s[i].random = test_seed() + i, s[i].settled = &settled;
        helper_start(&s[i].h, submits, &s[i]);
    }
    for (unsigned i = 0; i < n; i++)
        helper_join(&s[i].h);
    expect_eq(stats_of(r.p).ok, (uint64_t)tally_get(&settled));
    until_threads(r.p, 0);
    rig_end(&r);
}

TEST(no_task_is_lost_while_the_last_thread_retires) { submit_from(1, lazy(1)); }
TEST(nor_by_many_submitters_beside_many_threads) { submit_from(3, lazy(2)); }

SUITE(lazy_retire, no_task_is_lost_while_the_last_thread_retires,
      nor_by_many_submitters_beside_many_threads)
