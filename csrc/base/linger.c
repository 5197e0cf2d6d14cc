/* SPDX-License-Identifier: ISC
 *
 * linger.c: whether looking before a sleep pays, and how soon to look.
 */
#include "base/linger.h"

enum { LOT_NS = 32, MISSES = 4, LOOK_EVERY = 32 };

bool wi_linger_pays(wi_linger *l) { return l->missed < MISSES || ++l->unlooked % LOOK_EVERY == 0; }

int64_t wi_linger_pause(wi_linger *l, uint64_t handled)
{
    uint64_t lot = handled - l->handled;
    l->handled = handled;
    return lot < WI_LINGER_NS / LOT_NS ? (int64_t)lot * LOT_NS : WI_LINGER_NS;
}

void wi_linger_note(wi_linger *l, bool came)
{
    l->missed = came ? 0 : l->missed + (l->missed < MISSES);
}
