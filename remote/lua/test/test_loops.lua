-- SPDX-License-Identifier: ISC

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local tests = require "remote_tests"

tests("no loop", function(f) f() end)

-- The answer sends the signal, so a wait that takes no requests does not end.
describe("weir.remote without a loop", function()
  it("serves while another wait of weir blocks, and again after it", function()
    local remote, signal = require "weir.remote", require "weir.signal"
    local server = assert(remote.serve {
      url = "local:waits", pool = { threads = 1 }, jobs = { echo = function(x) return x end },
    })
    local farm = assert(remote.open { url = "local:waits" })
    local usr = assert(signal.catch "USR1")
    for i = 1, 3 do
      local future = farm:run("echo", i)
      future:on_settle(function() os.execute "kill -USR1 $PPID" end)
      assert.is_true(usr:wait(60))
      assert.same({ true, i }, { future:try() })
    end
    usr:release()
    assert(farm:close())
    assert(server:close())
  end)
end)

local loops = {
  copas = function(f)
    local copas = require "copas"
    copas.addthread(f)
    copas.loop()
  end,
  luv = function(f)
    local uv = require "luv"
    local weir = require "weir"
    weir.loop.use(weir.loop.luv) -- Copas and cqueues are loaded as well
    assert(coroutine.resume(coroutine.create(f)))
    uv.run()
    weir.loop.use(nil)
  end,
  cqueues = function(f)
    local controller = require("cqueues").new()
    controller:wrap(f)
    assert(controller:loop())
  end,
}

for _, name in ipairs { "luv", "cqueues", "copas" } do
  if pcall(require, name) then
    tests(name, loops[name])
  else
    describe(name, function() pending("is not here") end)
  end
end
