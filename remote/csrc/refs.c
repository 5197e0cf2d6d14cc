/* SPDX-License-Identifier: ISC
 *
 * refs: who holds a farm, a flight, a request; the last one frees it.
 */
#include "request.h"

#include <stdlib.h>

void wr_farm_ref(weir_remote *farm) { atomic_fetch_add(&farm->refs, 1); }

void wr_farm_unref(weir_remote *farm)
{
    if (atomic_fetch_sub(&farm->refs, 1) == 1)
        farm->destroy(farm);
}

void wr_flight_ref(wr_flight *f) { atomic_fetch_add(&f->refs, 1); }

void wr_flight_unref(wr_flight *f)
{
    if (atomic_fetch_sub(&f->refs, 1) != 1)
        return;
    weir_remote *farm = f->farm;
    free(f->answer);
    free(f);
    wr_farm_unref(farm);
}

void wr_request_ref(weir_request *r) { atomic_fetch_add(&r->refs, 1); }

void wr_request_unref(weir_request *r)
{
    if (atomic_fetch_sub(&r->refs, 1) != 1)
        return;
    weir_remote *farm = r->farm;
    free(r->answer);
    r->route->free(r);
    wr_farm_unref(farm);
}
