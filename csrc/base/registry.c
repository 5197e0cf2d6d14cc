/* SPDX-License-Identifier: ISC
 *
 * registry.c: the lists of mains and pools.
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

struct wi_registry *wi_registry(void)
{
    pthread_once(&once, make_registry);
    return &the;
}

void wi_register(wi_list *list, weir_link *element)
{
    wi_lock(&the.lock);
    wi_list_append(list, element);
    wi_unlock(&the.lock);
}

void wi_unregister(weir_link *element)
{
    wi_lock(&the.lock);
    wi_unlink(element);
    wi_unlock(&the.lock);
}
