/* SPDX-License-Identifier: ISC
 *
 * serve: a farm's handlers, and what runs them: a pool, or a loop.
 */
#ifndef WR_SERVE_H
#define WR_SERVE_H

#include "request.h"

typedef struct {
    const wr_runner         *runner;
    weir_pool               *pool; /* NULL: of a loop */
    const weir_loop_options *loop; /* NULL: of a pool */
    unsigned                 prefetch;
} wr_server;

/* weir_remote_serve, whichever way; caller: whose name errors begin with. */
int wr_serve(weir_remote *farm, const wr_server *server, const weir_handler *handlers, size_t n,
             const char *caller);

#endif
