/* SPDX-License-Identifier: ISC
 *
 * form: checks of what came from the wire. No text in it ends with a zero unless it says so.
 */
#include "form.h"

#include "say.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- jobs ---------------------------------------------------------------------------- */

/* 36 bytes as wr_make_id gives; no zero among them. */
static bool is_id(const char *bytes)
{
    static const char good[] = "0123456789abcdef-";
    for (size_t i = 0; i < WR_ID - 1; i++)
        if (!memchr(good, bytes[i], sizeof good - 1))
            return false;
    return true;
}

bool wr_form_may_answer(wr_slice reply_to)
{
    const size_t n = sizeof WR_REPLY_PREFIX - 1;
    return reply_to.size == n + WR_ID - 1 && !memcmp(reply_to.bytes, WR_REPLY_PREFIX, n) &&
           is_id(reply_to.bytes + n);
}

const char *wr_form_fault(const wr_event *event)
{
    const wr_message *m = &event->message;
    if (!wr_slice_is(m->type, WR_JOB_TYPE))
        return "its type is not " WR_JOB_TYPE;
    if (wr_slice_is(m->content_type, WR_REPLY_CONTENT))
        return "it is a reply";
    if (m->id.size != WR_ID - 1 || !is_id(m->id.bytes))
        return "its correlation id is not an id of weir's";
    if (!wr_form_may_answer(m->reply_to))
        return "it does not ask for a reply in a queue " WR_REPLY_PREFIX "*";
    return event->too_big ? "it is larger than message_limit" : NULL;
}

bool wr_form_job_queue(wr_slice queue, char *out, size_t room)
{
    snprintf(out, room, "%.*s", (int)queue.size, queue.bytes ? queue.bytes : "");
    return queue.size < room && !strncmp(out, "weir.", 5) && strlen(out) == queue.size &&
           strncmp(out, WR_REPLY_PREFIX, sizeof WR_REPLY_PREFIX - 1) &&
           strncmp(out, WR_DEAD_QUEUE, sizeof WR_DEAD_QUEUE - 1);
}

int64_t wr_form_milliseconds(wr_slice text)
{
    int64_t ms = 0;
    for (size_t i = 0; i < text.size; i++)
        ms = text.bytes[i] >= '0' && text.bytes[i] <= '9' && ms < INT64_MAX / 20000000
                 ? ms * 10 + (text.bytes[i] - '0')
                 : ms;
    return ms * 1000000;
}

bool wr_form_consumer(wr_slice consumer, size_t *handler, unsigned *level)
{
    char text[40];
    snprintf(text, sizeof text, "%.*s", (int)(consumer.size < sizeof text ? consumer.size : 0),
             consumer.bytes ? consumer.bytes : "");
    return sscanf(text, "job.%zu.%u", handler, level) == 2 && *level < WEIR_LEVELS;
}

/* ---- replies ---------------------------------------------------------------------------- */

/* The handler's name and text, each ended by a zero. */
static wr_answer *error_answer(wr_slice body)
{
    const char *end = body.size ? memchr(body.bytes, 0, body.size) : NULL;
    if (!end || body.bytes[body.size - 1] || end == body.bytes + body.size - 1)
        return NULL;
    return wr_answer_copy(&(wr_answer){.error_name = body.bytes, .error_text = end + 1});
}

static wr_answer *result_answer(const wr_message *m)
{
    char type[256] = "application/octet-stream";
    if (m->result_type.size && m->result_type.size < sizeof type)
        snprintf(type, sizeof type, "%.*s", (int)m->result_type.size, m->result_type.bytes);
    return wr_answer_copy(
        &(wr_answer){.content_type = type, .bytes = m->body.bytes, .size = m->body.size});
}

wr_answer *wr_form_answer(const wr_event *event)
{
    if (event->too_big)
        return NULL;
    if (wr_slice_is(event->message.outcome, "ok"))
        return result_answer(&event->message);
    return wr_slice_is(event->message.outcome, "raised") ? error_answer(event->message.body) : NULL;
}

bool wr_form_is_reply(const wr_message *m)
{
    return wr_slice_is(m->type, WR_REPLY_TYPE) && wr_slice_is(m->content_type, WR_REPLY_CONTENT);
}
