/* SPDX-License-Identifier: ISC
 *
 * stats.c: the statistics of a pool: its snapshot, and how long tasks waited and
 * ran. Without a loop: weir_main_wait delivers.
 */
#include <inttypes.h>
#include <stdio.h>
#include <weir.h>

static int add_up(weir_task *task, void *state) /* plain CPU work, on a worker */
{
    volatile double sum = 0;
    for (int i = 1; i < 1000000; i++)
        sum = sum + 1.0 / i;
    return sum > 14 ? 0 : 1;
}

static void done(weir_task *task) {}

/* `percent` of all counted times are below this bound, in us: a bucket's upper end. */
static uint64_t under_us(const uint64_t *bucket, unsigned percent)
{
    uint64_t all = 0, seen = 0, i;
    for (i = 0; i < WEIR_BUCKETS; i++)
        all += bucket[i];
    for (i = 0; i < WEIR_BUCKETS - 1 && (seen += bucket[i]) * 100 < all * percent;)
        i++;
    return (UINT64_C(1) << i) / 1000 + 1;
}

static void print_times(weir_pool *pool, weir_histogram which, const char *verb)
{
    uint64_t bucket[WEIR_BUCKETS];
    if (weir_pool_get_histogram(pool, which, bucket) == 0)
        printf("%s: half under %" PRIu64 " us, 99%% under %" PRIu64 " us\n", verb,
               under_us(bucket, 50), under_us(bucket, 99));
}

int main(void)
{
    weir_task         tasks[200];
    weir_pool_options opts = {.size = sizeof opts, .name = "sum", .threads = 2, .measure = true};
    weir_pool_stats   s = {.size = sizeof s};
    weir_main        *loop;
    weir_pool        *pool;
    if (weir_main_open(&loop) != 0 || weir_pool_open(&pool, &opts) != 0)
        return 1;
    for (int i = 0; i < 200; i++) {
        tasks[i] = (weir_task){.run = add_up, .done = done};
        weir_run(pool, &tasks[i], loop);
    }
    while (weir_main_pending(loop) > 0)
        weir_main_wait(loop, -1);
    weir_pool_get_stats(pool, &s);
    printf("%" PRIu64 " submitted: %" PRIu64 " ok, %" PRIu64 " failed\n", s.submitted, s.ok,
           s.failed);
    printf("%zu queued, %u running, %u of %u threads idle\n", s.queued, s.running, s.idle,
           s.threads);
    print_times(pool, WEIR_QUEUE_TIME, "waited");
    print_times(pool, WEIR_RUN_TIME, "ran");
    weir_pool_release(pool);
    return weir_main_close(loop, 0);
}
