-- SPDX-License-Identifier: ISC
--
-- pledge, by chance: everything that a restricted state can reach, called with everything that it
-- can reach. Nothing may crash, and nothing that was given up may be had.
--
-- WEIR_FUZZ_SECONDS makes it run longer, WEIR_FUZZ_SEED begins elsewhere; a failure names its seed.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local folder = require "support.folder"
local reachable = require "support.reachable"
local worker = require "weir.worker"

local CALLS = 2000

-- Not reachable after a pledge, but by the debug library: who called the script, and originals. And
-- what waits for what never comes.
local skipped = {}
for name in pairs(reachable.registry) do
  skipped[name] = not name:match "^registry%.weir%.[%w_]+%.__" or nil
end
for _, name in ipairs { "wait", "poll", "close_blocking", "op_block" } do
  skipped["registry._LOADED.weir.core." .. name] = true
  skipped["registry._LOADED.weir.lus.core." .. name] = true
end

local script = debug.getinfo(1, "S").source:sub(2):match "^(.*)test_worker_fuzz.lua$" .. "support/fuzz.lua"

describe("a restricted state", function()
  local base

  before_each(function()
    base = folder.script ""
    os.remove(base)
    local make = "mkdir -p '%s/in' && printf secret-value > '%s/file' && printf x > '%s/in/file'"
    os.execute(make:format(base, base, base))
    os.execute(("printf 'worker.message(...)' > '%s/in/child.lua'"):format(base))
    os.execute(("printf 'worker.peek()' > '%s/in/waits.lua'"):format(base))
    local stays = "local other = worker.create(...) worker.message(1) worker.receive_within(3, other)"
    os.execute(("printf '%s' > '%s/in/stays.lua'"):format(stays, base))
  end)
  after_each(function()
    os.execute("rm -r '" .. base .. "'")
    folder.clean()
  end)

  local function round(seed)
    local w = worker.create({ path = script, memory = 50000000, time = 8 }, seed, CALLS, base .. "/in",
      base .. "/file", skipped, seed % 2 == 0)
    worker.close(w) -- its peek finds nothing, and waits for nothing
    repeat
      local ok, v = pcall(worker.receive_within, 15, w)
      assert.is_false(ok and type(v) == "string" and v:find "got out" ~= nil, "seed " .. seed)
    until not ok or v == nil
    worker.close(w, "now")
    local file = io.open(base .. "/file")
    assert.are.equal("secret-value", file:read "*a", "seed " .. seed)
    file:close()
  end

  it("neither crashes nor gets out", function()
    local seconds = tonumber(os.getenv "WEIR_FUZZ_SECONDS") or 0
    local seed, rounds, begin = tonumber(os.getenv "WEIR_FUZZ_SEED") or 1, 0, os.time()
    repeat
      if seconds > 0 then io.stderr:write("seed ", seed, "\n") end
      round(seed)
      seed, rounds = seed + 1, rounds + 1
    until rounds >= 4 and os.time() - begin >= seconds
  end)
end)
