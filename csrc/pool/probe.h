/* SPDX-License-Identifier: ISC
 *
 * probe.h: static probes (USDT), which bpftrace, perf and SystemTap attach to.
 *
 * Where <sys/sdt.h> was there at compile time, each event is a nop with a note beside the code
 * that says where its arguments are: nothing is called, and nothing is loaded. A task is a
 * pointer, a name for the time between two events: only at its start is it sure to be there, so
 * only task_started has its label.
 */
#pragma once

#include "weir.h"

#if defined(__has_include) && !defined(WI_NO_PROBES)
#if __has_include(<sys/sdt.h>)
#include <sys/sdt.h>
#define WI_PROBE2(name, a, b) DTRACE_PROBE2(weir, name, a, b)
#define WI_PROBE3(name, a, b, c) DTRACE_PROBE3(weir, name, a, b, c)
#endif
#endif
#ifndef WI_PROBE2
#define WI_PROBE2(name, a, b) ((void)(a), (void)(b))
#define WI_PROBE3(name, a, b, c) ((void)(a), (void)(b), (void)(c))
#endif

/* `event` is a constant where this is called, so that one case is left, or none. */
__attribute__((always_inline)) static inline void wi_probe(unsigned event, const char *pool,
                                                           const weir_task *t, int value)
{
    switch (event) {
    case WEIR_TRACE_QUEUED: WI_PROBE2(task_queued, pool, t); break;
    case WEIR_TRACE_STARTED: WI_PROBE3(task_started, pool, t, t->weir.label); break;
    case WEIR_TRACE_SETTLED: WI_PROBE3(task_settled, pool, t, value); break;
    case WEIR_TRACE_THREAD: WI_PROBE2(thread, pool, value); break;
    case WEIR_TRACE_GREW: WI_PROBE2(grew, pool, value); break;
    case WEIR_TRACE_CLOSED: WI_PROBE2(closed, pool, value); break;
    }
}
