/* SPDX-License-Identifier: ISC
 *
 * registry.c: the lists of mains and pools, and numbers for them.
 */
#include "base/registry.h"

static struct wi_registry the;
static pthread_once_t     once = PTHREAD_ONCE_INIT;

static void make_registry(void)
{
    wi_mutex_init(&the.lock);
    wi_list_init(&the.mains);
    wi_list_init(&the.pools);
}

struct wi_registry *wi_registry(void) { return pthread_once(&once, make_registry), &the; }

void wi_unregister(weir_link *element)
{
    wi_lock(&the.lock);
    wi_unlink(element);
    wi_unlock(&the.lock);
}

void wi_numbers_note(wi_numbers *n, unsigned number)
{
    n->noted |= number < 64 ? (uint64_t)1 << number : 0;
    n->above = n->above > number ? n->above : number + 1;
}

unsigned wi_numbers_free(const wi_numbers *n)
{
    return ~n->noted ? (unsigned)__builtin_ctzll(~n->noted) : n->above;
}
