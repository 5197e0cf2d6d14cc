rockspec_format = "3.0"
package = "weir"
version = "0.1.0-1"
source = { url = "git+https://example.org/weir.git", tag = "v0.1.0" }
description = {
  summary = "Preemptive thread pools for programs on an event loop",
  detailed = [[
    Blocking work runs on threads that each have a Lua state of their own, and comes back
    as a future, under Copas, luv, cqueues or no loop at all.]],
  homepage = "https://example.org/weir",
  license = "ISC",
}
supported_platforms = { "unix" }
dependencies = { "lua >= 5.1, < 5.6" }
build = {
  type = "builtin",
  modules = {
    ["weir"] = "bindings/lua/weir/init.lua",
    ["weir.check"] = "bindings/lua/weir/check.lua",
    ["weir.future"] = "bindings/lua/weir/future.lua",
    ["weir.loop"] = "bindings/lua/weir/loop.lua",
    ["weir.loop.block"] = "bindings/lua/weir/loop/block.lua",
    ["weir.loop.copas"] = "bindings/lua/weir/loop/copas.lua",
    ["weir.loop.cqueues"] = "bindings/lua/weir/loop/cqueues.lua",
    ["weir.loop.luv"] = "bindings/lua/weir/loop/luv.lua",
    ["weir.mailbox"] = "bindings/lua/weir/mailbox.lua",
    ["weir.pool"] = "bindings/lua/weir/pool.lua",
    ["weir.wait"] = "bindings/lua/weir/wait.lua",
    ["weir.core"] = {
      sources = {
        "bindings/lua/codec_blob.c",
        "bindings/lua/codec_globals.c",
        "bindings/lua/codec_message.c",
        "bindings/lua/codec_names.c",
        "bindings/lua/codec_pack.c",
        "bindings/lua/codec_path.c",
        "bindings/lua/codec_plain.c",
        "bindings/lua/codec_unpack.c",
        "bindings/lua/lua_call.c",
        "bindings/lua/lua_cancel.c",
        "bindings/lua/lua_command.c",
        "bindings/lua/lua_core.c",
        "bindings/lua/lua_job.c",
        "bindings/lua/lua_mailbox.c",
        "bindings/lua/lua_pool.c",
        "bindings/lua/lua_wait.c",
        "bindings/lua/lua_worker.c",
        "csrc/abandon.c",
        "csrc/call.c",
        "csrc/close.c",
        "csrc/error.c",
        "csrc/fork.c",
        "csrc/grow.c",
        "csrc/heap.c",
        "csrc/main.c",
        "csrc/mains.c",
        "csrc/notice.c",
        "csrc/open.c",
        "csrc/park.c",
        "csrc/platform.c",
        "csrc/pool.c",
        "csrc/queue.c",
        "csrc/registry.c",
        "csrc/settle.c",
        "csrc/stats.c",
        "csrc/task.c",
        "csrc/thread.c",
        "csrc/timer.c",
        "csrc/trace.c",
        "csrc/wait.c",
        "csrc/wake.c",
        "csrc/worker.c",
      },
      incdirs = { "csrc" },
      defines = { "WEIR_PRIVATE" },
      libraries = { "pthread", "dl" },
    },
  },
}
