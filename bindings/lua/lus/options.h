/* SPDX-License-Identifier: ISC
 *
 * options.h: the options of create.
 */
#pragma once

#include "lus/core.h"
#include "lus/limits.h"

#pragma GCC visibility push(hidden)

typedef struct {
    const char *path;
    unsigned    limit;   /* of each channel; 0: none */
    bool        refuses; /* what is above it; else its sender waits */
    wl_amounts  most;
    wl_message *arguments;
} wl_actor_options;

/* options arguments... -> path arguments...; raises at the caller's line */
wl_actor_options wl_create_options(lua_State *L);

#pragma GCC visibility pop
