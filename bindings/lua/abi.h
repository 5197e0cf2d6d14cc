/* SPDX-License-Identifier: ISC
 *
 * abi.h: what the module weir.core offers to the C modules of systems.
 *
 * There is one core, one codec and one runtime in a process, for they have state. So a
 * system's module does not link them: it calls them through this table, whose address is
 * the field `abi` of weir.core. Each field has the name of its function. A module of
 * another release is refused when it is required, because the table's version and size are
 * compared; a release changes both modules at once.
 */
#pragma once

#include "codec/codec.h"
#include "io/io.h"
#include "module.h"
#include "runtime/cancel.h"
#include "runtime/error.h"
#include "runtime/mailbox.h"
#include "runtime/thread.h"
#include "threads/threads.h"
#include "weir.h"

/* clang-format off */
#define WL_ABI(_) \
    _(wl_pack) _(wl_unpack) _(wl_message_free) _(wl_message_size) _(wl_handle_metatable) \
    _(wl_state_open) _(wl_state_of) _(wl_state_on_end) \
    _(wl_main_get) _(wl_main_end) _(wl_main_is_idle) _(wl_main_sleep) \
    _(wl_main_ref) _(wl_main_unref) _(wl_main_tell_ping) \
    _(wl_thread_of) _(wl_cancel_asleep) _(wl_cancel_awake) \
    _(wl_random_seed) _(wl_command_register) _(wl_stream_register) _(wl_stream_wrap) \
    _(luaopen_weir_core) _(wl_word) \
    _(weir_blocking_begin) _(weir_blocking_end) _(weir_on_fork) \
    _(weir_notice_expect) _(weir_notice_post) _(weir_pool_open_async) _(weir_pool_release) \
    _(weir_run) _(weir_task_abandon) _(weir_task_park_within) _(weir_task_unpark)
/* clang-format on */

#define WL_ABI_FIELD(name) __typeof__(name) *name;

typedef struct {
    size_t      size;
    const char *version;
    WL_ABI(WL_ABI_FIELD)
} wl_abi;
