/* SPDX-License-Identifier: ISC
 *
 * ids: a table of chains.
 */
#include "ids.h"

#include "weir.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* FNV-1a. The ids are random and our own, so nobody can choose a chain for them. */
static size_t hash(const char *id, size_t length)
{
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < length; i++)
        h = (h ^ (unsigned char)id[i]) * 1099511628211u;
    return (size_t)(h ^ h >> 32);
}

static wr_known **chain_of(const wr_ids *ids, const char *id, size_t length)
{
    return &ids->chains[hash(id, length) & (ids->room - 1)];
}

static void add_known(wr_ids *ids, wr_known *known)
{
    wr_known **chain = chain_of(ids, known->id, strlen(known->id));
    known->next = *chain;
    *chain = known;
}

static void grow(wr_ids *ids)
{
    wr_ids more = {.n = ids->n, .room = ids->room ? ids->room * 2 : 64};
    more.chains = calloc(more.room, sizeof *more.chains);
    if (!more.chains)
        return;
    for (size_t i = 0; i < ids->room; i++)
        for (wr_known *k = ids->chains[i], *next; k; k = next) {
            next = k->next;
            add_known(&more, k);
        }
    free(ids->chains);
    *ids = more;
}

int wr_ids_add(wr_ids *ids, wr_known *known)
{
    if (ids->n >= ids->room)
        grow(ids);
    if (!ids->room)
        return WEIR_ENOMEM;
    add_known(ids, known);
    ids->n++;
    return 0;
}

void wr_ids_remove(wr_ids *ids, wr_known *known)
{
    wr_known **at = chain_of(ids, known->id, strlen(known->id));
    while (*at != known)
        at = &(*at)->next;
    *at = known->next;
    ids->n--;
}

wr_known *wr_ids_find(const wr_ids *ids, const char *id, size_t length)
{
    if (!ids->room || length != sizeof ids->chains[0]->id - 1)
        return NULL;
    wr_known *k = *chain_of(ids, id, length);
    while (k && memcmp(k->id, id, length))
        k = k->next;
    return k;
}

void wr_ids_clear(wr_ids *ids)
{
    free(ids->chains);
    *ids = (wr_ids){0};
}
