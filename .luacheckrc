-- SPDX-License-Identifier: ISC
std = "max"
max_line_length = 120
exclude_files = { "nvim/lua", "**/_build*", "_build*", "build*",
  "examples/lua/worker/square.lua" } -- its first line is Lus
files["remote/lua/test"] = { std = "max+busted", read_globals = { "skip" } }
files["test/lua"] = { std = "max+busted", read_globals = { "skip" } }
files["examples/**/load.lua"] = { globals = {
  "wrk", "setup", "init", "request", "delay", "done", "response", "sent", "pings",
} }
local MSYS = { globals = { "msys", "_TLS", "_OSTLS" } }
files["examples/lua/msys"], files["test/lua/test_msys*.lua"] = MSYS, { std = "max+busted", globals = MSYS.globals }
files["examples/nvim"], files["test/nvim"] = { read_globals = { "vim" } }, { globals = { "vim" } }
files["bindings/lua/types"] = { ignore = { "211", "212", "241" } } -- declarations
files["examples/lua/worker"] = { read_globals = { "worker", "pledge" } }
