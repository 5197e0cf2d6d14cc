/* SPDX-License-Identifier: ISC
 *
 * bell: one notice at a time.
 *
 * pulled becomes true under the lock, and whoever made it true posts the notice. It becomes
 * false under the lock when the notice is delivered; the owner looks at what is to do after
 * that. So what comes before is seen, and what comes later pulls again.
 */
#include "bell.h"

#include "list.h"

static void heard(weir_notice *notice, int outcome)
{
    wr_bell *bell = wr_of(notice, wr_bell, notice);
    (void)outcome;
    pthread_mutex_lock(bell->lock);
    bell->pulled = false;
    pthread_mutex_unlock(bell->lock);
}

void wr_bell_hang(wr_bell *bell, pthread_mutex_t *lock, weir_main *main)
{
    bell->lock = lock;
    bell->main = main;
    bell->notice.fn = heard;
    pthread_mutex_lock(lock);
    bell->hangs = true;
    pthread_mutex_unlock(lock);
}

bool wr_bell_pull_locked(wr_bell *bell)
{
    if (!bell->hangs || bell->pulled)
        return false;
    return bell->pulled = true;
}

void wr_bell_ring(wr_bell *bell)
{
    if (weir_notice_expect(&bell->notice, bell->main) == 0)
        weir_notice_post(&bell->notice, 0);
}

/* A ringer that has pulled may not have posted yet, so the owner waits for its notice. */
void wr_bell_take_down(wr_bell *bell)
{
    pthread_mutex_lock(bell->lock);
    bell->hangs = false;
    while (bell->pulled) {
        pthread_mutex_unlock(bell->lock);
        weir_main_wait(bell->main, 1000000);
        pthread_mutex_lock(bell->lock);
    }
    pthread_mutex_unlock(bell->lock);
}
