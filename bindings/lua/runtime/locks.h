/* SPDX-License-Identifier: ISC
 *
 * locks.h: the locks of jobs and pools.
 */
#pragma once

#pragma GCC visibility push(hidden)

/* The lock of a job or a pool. Several objects share one, so a thread holds the lock of one
 * object at a time; a fork takes all of them. */
void wl_lock(const void *object);
void wl_unlock(const void *object);
void wl_locks_register(void); /* once a module: before the first lock */

#pragma GCC visibility pop
