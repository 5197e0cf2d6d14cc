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

  it("brings a client its answers while another wait of weir blocks", function()
    local weir, remote, signal = require "weir", require "weir.remote", require "weir.signal"
    local elsewhere = assert(weir.pool { threads = 1 }) -- so this state has no server
    local ended = elsewhere:run(function()
      local server = assert(require("weir.remote").serve {
        url = "local:client waits", pool = { threads = 1 }, jobs = { echo = function(x) return x end },
      })
      local there = require "weir"
      there.shared.set("client waits", "serves")
      while there.shared.get "client waits" == "serves" do there.sleep(0.002) end
      return server:close()
    end)
    while not weir.shared.get "client waits" do weir.sleep(0.002) end
    local farm = assert(remote.open { url = "local:client waits" })
    local usr = assert(signal.catch "USR1")
    for i = 1, 3 do
      local future = farm:run("echo", i)
      future:on_settle(function() os.execute "kill -USR1 $PPID" end)
      assert.is_true(usr:wait(60))
      assert.same({ true, i }, { future:try() })
    end
    usr:release()
    assert(farm:close())
    weir.shared.set("client waits", "over")
    assert.same({ true, true }, { ended:get() })
    weir.shared.set("client waits", nil)
    assert(elsewhere:close())
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
