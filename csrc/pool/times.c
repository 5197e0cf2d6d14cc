/* SPDX-License-Identifier: ISC
 *
 * times.c: histograms of times.
 *
 * Times below 8 ns have a bucket each. From there on each power of 2 has four, of equal width,
 * chosen by the two bits after the highest one.
 */
#include "pool/pool.h"

#include <string.h>

static unsigned bucket_of(uint64_t ns)
{
    unsigned high = ns < 8 ? 2 : 63 - (unsigned)__builtin_clzll(ns);
    return 4 * (high - 2) + (unsigned)(ns >> (high - 2));
}

uint64_t weir_times_below(unsigned bucket)
{
    if (bucket < 8)
        return bucket + 1;
    unsigned shift = bucket / 4 - 1;
    uint64_t steps = bucket % 4 + 5;
    return bucket >= WEIR_TIMES - 1 ? UINT64_MAX : steps << shift;
}

/* task.weir.since is when what is measured began. */
void wi_note_time_locked(weir_pool *p, weir_histogram which, weir_task *t)
{
    int64_t  now = weir_now();
    uint64_t ns = now > t->weir.since ? (uint64_t)(now - t->weir.since) : 0;
    p->fine[which][bucket_of(ns)]++;
    p->times[which] += ns;
    t->weir.since = now;
}

int weir_pool_get_times(weir_pool *p, weir_histogram which, uint64_t counts[WEIR_TIMES])
{
    if (!p || !counts || !p->opts.measure || (unsigned)which > WEIR_RUN_TIME)
        return WEIR_EINVAL;
    wi_lock(&p->lock);
    memcpy(counts, p->fine[which], sizeof p->fine[which]);
    wi_unlock(&p->lock);
    return 0;
}

void wi_times_coarse(const uint64_t counts[WEIR_TIMES], uint64_t buckets[WEIR_BUCKETS])
{
    memset(buckets, 0, WEIR_BUCKETS * sizeof *buckets);
    for (unsigned i = 0; i < WEIR_TIMES; i++) {
        uint64_t most = weir_times_below(i) - 1;
        unsigned coarse = most ? 64 - (unsigned)__builtin_clzll(most) : 0;
        buckets[coarse < WEIR_BUCKETS ? coarse : WEIR_BUCKETS - 1] += counts[i];
    }
}

int weir_pool_get_histogram(weir_pool *p, weir_histogram which, uint64_t buckets[WEIR_BUCKETS])
{
    uint64_t counts[WEIR_TIMES];
    int      rc = buckets ? weir_pool_get_times(p, which, counts) : WEIR_EINVAL;
    if (rc == 0)
        wi_times_coarse(counts, buckets);
    return rc;
}

uint64_t weir_times_percentile(const uint64_t counts[WEIR_TIMES], double percent)
{
    uint64_t all = 0, seen = 0;
    for (unsigned i = 0; i < WEIR_TIMES; i++)
        all += counts[i];
    double   share = !(percent > 0) ? 0 : percent > 100 ? 1 : percent / 100; /* also of none */
    uint64_t rank = (uint64_t)(share * (double)all);
    rank += (double)rank < share * (double)all || rank == 0;
    for (unsigned i = 0; all && i < WEIR_TIMES; i++)
        if ((seen += counts[i]) >= rank)
            return weir_times_below(i);
    return 0;
}
