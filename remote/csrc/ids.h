/* SPDX-License-Identifier: ISC
 *
 * ids: the jobs in flight by their ids. Guarded by the farm's lock.
 */
#ifndef WR_IDS_H
#define WR_IDS_H

#include <stddef.h>

typedef struct wr_known {
    struct wr_known *next;
    char             id[37];
} wr_known;

typedef struct {
    wr_known **chains;
    size_t     n, room; /* room: a power of two, or 0 */
} wr_ids;

/* Returns 0, or WEIR_ENOMEM if there is no chain at all; fuller chains are no failure. */
int       wr_ids_add(wr_ids *ids, wr_known *known);
void      wr_ids_remove(wr_ids *ids, wr_known *known);
wr_known *wr_ids_find(const wr_ids *ids, const char *id, size_t length);
void      wr_ids_clear(wr_ids *ids);

#endif
