-- SPDX-License-Identifier: ISC

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local folder = require "support.folder"
local log = require "weir.log"
local pools = require "support.pool"
local program = require "support.program"

local function lines_of(name)
  local lines = {}
  for line in io.lines(name) do lines[#lines + 1] = line end
  os.remove(name)
  return lines
end

local TIME = "^%d%d%d%d%-%d%d%-%d%d %d%d:%d%d:%d%d "

describe("weir.log", function()
  it("writes a line with its time and its name", function()
    local name = os.tmpname()
    local write, plain = log.to(name, "db"), log.to(name)
    assert.is_true(write("row %d of %s", 7, "t"))
    assert.is_true(plain "100% done")
    local lines = lines_of(name)
    assert.is_truthy(lines[1]:find(TIME .. "db: row 7 of t$"), lines[1])
    assert.is_truthy(lines[2]:find(TIME .. "100%% done$"), lines[2])
  end)

  it("keeps the lines of threads apart, whatever their length", function()
    local name = os.tmpname()
    local write = log.to(name)
    pools.with({ threads = 4 }, function(pool)
      local function many(letter)
        for i = 1, 200 do assert(write(letter:rep(i * 50))) end
      end
      assert(pool:map(many, { "a", "b", "c", "d" }))
    end)
    local lines, counts = lines_of(name), {}
    for i = 1, #lines do
      local letter, rest = lines[i]:match(TIME .. "(%a)(%a*)$")
      assert(letter and rest == letter:rep(#rest), lines[i])
      counts[letter] = (counts[letter] or 0) + 1
    end
    assert.are.same({ a = 200, b = 200, c = 200, d = 200 }, counts)
  end)

  it("writes to stderr without a file", function()
    local output = program.run [[
      local write = require("weir.log").to(nil, "me")
      local pool = weir.pool { threads = 1 }
      assert(pool:run(function() return write("from a task") end):get())
      pool:close()]]
    assert.is_truthy(output:find("me: from a task\nexit 0", 1, true), output)
  end)

  it("keeps no descriptor, and writes to no file that has another name", function()
    local name = os.tmpname()
    local before = folder.open_files()
    for _ = 1, 10 do assert(log.to(name) "x") end
    assert.is_true(folder.open_files() < before + 5) -- popen's own end may still be open, or not
    assert(os.execute(("ln %s %s.other"):format(name, name)))
    assert.are.same({ nil, "has other names" }, { log.to(name) "y" })
    os.remove(name .. ".other")
    assert.are.equal(10, #lines_of(name))
  end)

  it("says why it cannot write, and names wrong arguments", function()
    local ok, why = log.to "/nowhere/log" "x"
    assert.is_nil(ok)
    assert.are.equal("string", type(why))
    assert.has_error(function() log.to(1) end, "weir.log.to: argument 1 (file) must be a string, got 1")
    assert.has_error(function() log.to(nil) (nil) end)
  end)
end)
