/* SPDX-License-Identifier: ISC
 *
 * count.h: included before each file of the core by bench/scale, so that the core counts what
 * its threads cost each other. The library itself counts none of it.
 */
#ifndef COUNT_H
#define COUNT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct counts {
    _Atomic unsigned long locks;      /* taken */
    _Atomic unsigned long hand_overs; /* of them, from another thread's hands */
    _Atomic unsigned long waits;      /* of them, that found the lock taken */
    _Atomic unsigned long failed;     /* compare-and-swaps that another thread was quicker with */
};

extern struct counts weir_counts;

int  count_lock(pthread_mutex_t *m);
int  count_trylock(pthread_mutex_t *m);
void count_failure(void);

static inline bool count_swap(bool done)
{
    if (!done)
        count_failure();
    return done;
}

#ifndef COUNT_INSIDE
#define pthread_mutex_lock(m) count_lock(m)
#define pthread_mutex_trylock(m) count_trylock(m)
#undef atomic_compare_exchange_strong
#define atomic_compare_exchange_strong(p, e, d)                                                    \
    count_swap(atomic_compare_exchange_strong_explicit(p, e, d, memory_order_seq_cst,              \
                                                       memory_order_seq_cst))
#endif

#endif
