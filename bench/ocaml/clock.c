/* SPDX-License-Identifier: ISC
 *
 * clock.c: Unix.gettimeofday steps by whole microseconds, as long as some tasks.
 */
#include <caml/alloc.h>
#include <time.h>

value bench_now_us(value unit)
{
    struct timespec t;
    (void)unit;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return caml_copy_double((double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3);
}
