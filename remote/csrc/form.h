/* SPDX-License-Identifier: ISC
 *
 * form: whether a message has the form of WIRE.md, and what it says. Nothing here trusts it.
 */
#ifndef WR_FORM_H
#define WR_FORM_H

#include "answer.h"
#include "wire.h"

#include <stdint.h>

/* NULL: a worker may run it. Else why not. */
const char *wr_form_fault(const wr_event *event);
bool        wr_form_is_reply(const wr_message *m);
/* The result, or the error, of a reply; NULL: it has none, or no memory. Free it. */
wr_answer *wr_form_answer(const wr_event *event);
/* Whether text is the name of one of our reply queues. */
bool wr_form_may_answer(wr_slice reply_to);
/* Copies the name of a queue of jobs to out; false: it is none. */
bool wr_form_job_queue(wr_slice queue, char *out, size_t room);
/* Digits, as ns; what is no digit is passed over. */
int64_t wr_form_milliseconds(wr_slice text);
/* The number of a handler and its level in the name of a consumer of ours. */
bool wr_form_consumer(wr_slice consumer, size_t *handler, unsigned *level);

#endif
