/* SPDX-License-Identifier: ISC
 *
 * reader.h: the reader of messages: what its files share.
 */
#pragma once

#include "codec/format.h"

#pragma GCC visibility push(hidden)

enum { WL_READER = 1, WL_OBJECTS, WL_NEW_KEYS, WL_FIRST_VALUE }; /* stack indices */

typedef struct {
    lua_State           *L;
    const wl_message    *m;
    const unsigned char *at, *end;
    size_t               hints; /* what table sizes may still ask for: the bytes are as many */
    uint32_t             made;  /* objects so far */
    unsigned             keys;  /* and keys that have numbers */
    int                  depth;
    bool                 has_objects;
    /* Where it is, for errors: in the value of that index, or in an object that is filled. */
    int      root;
    uint32_t filled;
    int      upvalue; /* of it, when it is a function */
} wl_reader;

/* why -> error: the place of the value that is not there, then why; raises it */
int wl_reader_fail(wl_reader *r);

#pragma GCC visibility pop
