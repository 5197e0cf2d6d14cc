/* SPDX-License-Identifier: ISC
 *
 * message.h: one value on its way through a channel.
 */
#pragma once

#include <stdint.h>

#include "runtime/util.h"
#include "lus/core.h"

#pragma GCC visibility push(hidden)

/* One value, on its way. */
typedef struct {
    unsigned char kind; /* enum wl_msg_kind */
    uint32_t      size; /* of a text */
    union {
        int64_t     i;
        double      n;
        wl_message *m;
    } u;
    char text[240];
} wl_msg;

enum wl_msg_kind {
    WL_MSG_VALUES,
    WL_MSG_NIL,
    WL_MSG_FALSE,
    WL_MSG_TRUE,
    WL_MSG_INT8,
    WL_MSG_INT,
    WL_MSG_FLOAT,
    WL_MSG_TEXT
};

/* The value at i, which the item owns from then on; raises at the caller of function. */
void wl_msg_pack(lua_State *L, int i, const char *function, wl_msg *item);
void wl_msg_push(lua_State *L, wl_msg *item); /* -> value; what is left of the item goes */
void wl_msg_drop(wl_msg *item);

#pragma GCC visibility pop
