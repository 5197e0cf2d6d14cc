/* SPDX-License-Identifier: ISC
 *
 * cpus.h: how many CPUs a pool may use.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

/* 1..WEIR_MAX_THREADS: those of the n_cpus bits, without which the calling thread's, but
 * no more than the quota of its control group is worth. */
unsigned wi_cpus(const uint64_t *cpus, unsigned n_cpus);
bool     wi_has_cpus(void); /* the calling thread may run on more than one */

/* The quota alone, rounded up to whole CPUs; 0: none. `groups` is a file like
 * /proc/self/cgroup, `root` the folder where the groups are mounted. */
unsigned wi_cpu_quota(const char *groups, const char *root);

#pragma GCC visibility pop
