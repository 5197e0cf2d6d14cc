/* SPDX-License-Identifier: ISC
 *
 * asio.cc: asio::thread_pool and asio::post. It allocates an operation per task
 * and keeps one per thread for the next.
 */
#include "mailbox.h"

#include <asio.hpp>

static asio::thread_pool *pool;

void pool_open(unsigned threads) { pool = new asio::thread_pool(threads); }

void pool_close(void)
{
    pool->join();
    delete pool;
}

void enqueue(struct mail *m)
{
    asio::post(*pool, [m] { serve(m); });
}
