/* SPDX-License-Identifier: ISC
 *
 * weir_pool.h: the pool of the peers that are ours.
 */
#include "peer.h"

#include <weir.h>

static weir_pool *pool;

void pool_open(unsigned threads)
{
    weir_pool_options opts = {.size = sizeof opts, .threads = threads};
    MUST(weir_pool_open(&pool, &opts) == 0);
}

void pool_close(void)
{
    MUST(weir_close(pool, WEIR_CLOSE) == 0);
    weir_pool_release(pool);
}
