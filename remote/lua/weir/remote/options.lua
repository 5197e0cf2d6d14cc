-- SPDX-License-Identifier: ISC
--
-- options.lua: what the tables of options may have, for weir.check.

local check = require "weir.check"

local kinds = check.kinds
local options = {}

options.farm = {
  url = kinds.string,
  credentials_file = kinds.string,
  ca_file = kinds.string,
  queue_limit = check.range(1, 2 ^ 31),
  on_full = check.word("refuse", "drop_oldest"),
  message_limit = check.range(1, 2 ^ 40),
  give_up = kinds.limit,
  heartbeat = kinds.limit,
  reconnect_min = kinds.limit,
  reconnect_max = kinds.limit,
  reply_life = kinds.limit,
  connect_within = kinds.limit,
  consumer_timeout = kinds.limit,
  on_event = kinds["function"],
}

options.serve = {
  pool = { "a pool, or the options of one", function(v) return type(v) == "table" or type(v) == "userdata" end },
  jobs = kinds.table,
  at_once = check.range(1, 65535),
}
for name, kind in pairs(options.farm) do options.serve[name] = kind end

options.run = {
  priority = check.word("normal", "high", "low"),
  start_within = kinds.limit,
  timeout = kinds.limit,
  orphan = check.word("run", "drop"),
  codec = check.word("msgpack", "bytes"),
}

options.job = {
  run = kinds["function"],
  run_within = kinds.limit,
  codec = check.word("msgpack", "bytes"),
}

options.close = { cancel = kinds.boolean, timeout = kinds.seconds }

return options
