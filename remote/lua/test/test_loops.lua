-- SPDX-License-Identifier: ISC

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local tests = require "remote_tests"

tests("no loop", function(f) f() end)

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
