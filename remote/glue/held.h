/* SPDX-License-Identifier: ISC
 *
 * held: the requests that bindings have, by numbers that cross to the thread which runs the
 * handler.
 *
 * A state may end, and release its requests, while its pool's threads still run: a number
 * outlives its request, and then means none. A begin has the lock throughout, so that a release
 * waits for it.
 *
 * Any thread.
 */
#ifndef WB_HELD_H
#define WB_HELD_H

#include "weir_remote.h"

/* A number for it, which is its data as well; 0: no memory. Partner: wb_release. */
uintptr_t wb_hold(weir_request *request);
/* As weir_request_begin; WEIR_ECANCELED also when it was released. */
int wb_begin(uintptr_t number);
/* As weir_request_release. */
void wb_release(weir_request *request);

#endif
