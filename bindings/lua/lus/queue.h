/* SPDX-License-Identifier: ISC
 *
 * queue.h: what is in a channel.
 */
#pragma once

#include "lus/channel.h"

#pragma GCC visibility push(hidden)

void wl_channel_init(wl_channel *c, unsigned limit, bool refuses);
void wl_channel_destroy(wl_channel *c); /* also what is in it */
bool wl_channel_is_full(const wl_channel *c);

bool wl_queue_append(wl_channel *c, const wl_msg *item); /* false: no memory */
bool wl_queue_look(wl_channel *c);                       /* something is there */
bool wl_queue_take(wl_channel *c, wl_msg *item);

#pragma GCC visibility pop
