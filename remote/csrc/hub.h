/* SPDX-License-Identifier: ISC
 *
 * hub: local: farms of this process that meet by name, and how a job goes from the one that
 * runs it to the one that serves it.
 */
#ifndef WR_HUB_H
#define WR_HUB_H

#include "farm.h"

/* The hub of that name; "": a hub of its own. NULL: no memory. Partner: wr_hub_leave. */
wr_hub *wr_hub_join(const char *name);
void    wr_hub_leave(wr_hub *hub); /* NULL is allowed */

/* From now on jobs find farm's handlers. Returns 0, or WEIR_EBUSY: another serves one. */
int wr_hub_serve(wr_hub *hub, weir_remote *farm);
/* Jobs find them no more. */
void wr_hub_stop(wr_hub *hub, weir_remote *farm);

/* Hands f, which is SENT and has a reference of the caller's, to its handler, or settles it. */
void wr_hub_send(wr_flight *f);

#endif
