/* SPDX-License-Identifier: ISC
 *
 * outbox: frames that wait until a socket takes them, encoded as librabbitmq does. What one
 * turn has to write is one send then, and no write waits for the server.
 *
 * Functions that return int return 0 or a status of librabbitmq. What fails adds nothing.
 */
#ifndef WR_OUTBOX_H
#define WR_OUTBOX_H

#include "slice.h"

#include <amqp.h>
#include <amqp_framing.h>

typedef struct {
    char  *bytes;
    size_t begin, end, room; /* begin to end waits */
    size_t frame_max;
} wr_outbox;

int wr_outbox_method(wr_outbox *o, amqp_channel_t channel, amqp_method_number_t id, void *method);
int wr_outbox_message(wr_outbox *o, amqp_channel_t channel, amqp_basic_publish_t *how,
                      amqp_basic_properties_t *properties, wr_slice body);
int wr_outbox_heartbeat(wr_outbox *o);
size_t wr_outbox_waits(const wr_outbox *o); /* so many bytes */
/* As much as the socket takes now. 0, or -1 and errno. */
int  wr_outbox_write(wr_outbox *o, int fd);
void wr_outbox_clear(wr_outbox *o);

#endif
