-- SPDX-License-Identifier: ISC
--
-- Commands that tasks start: what they inherit, and that Lua's results stay what they are.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local gate = require "support.gate"
local weir = require "weir"

-- What f(...) returns here, and in a task of a new pool.
local function both(f, ...)
  local pool = assert(weir.pool { threads = 1 })
  local function list(ok, ...)
    assert(ok, ...)
    return { ... }
  end
  local there = list(pool:run(f, ...):get())
  pool:close()
  return { f(...) }, there
end

local function same_in_a_task(f, ...)
  local here, there = both(f, ...)
  assert.are.same(here, there)
end

local SIGNALS = [[bash -c "grep -E '^Sig(Blk|Ign)' /proc/self/status; ls /proc/self/fd | wc -l"]]

local function blocked_ignored_open(text)
  local blocked, ignored, open = text:match "SigBlk:%s*(%x+)%s+SigIgn:%s*(%x+)%s+(%d+)"
  return tonumber(blocked, 16), math.floor(tonumber(ignored, 16) / 2 ^ 12) % 2, tonumber(open)
end

describe("a command that a task starts", function()
  local kept, pool, socket

  setup(function()
    kept = assert(io.open("/dev/null")) -- C opens it without CLOEXEC
    local found
    found, socket = pcall(require, "socket") -- has SIGPIPE ignored
    if not found then socket = nil end
    pool = assert(weir.pool { threads = 1 })
  end)
  teardown(function()
    kept:close()
    pool:close()
  end)

  local function is_clean(text)
    -- ls itself opens one more
    assert.are.same({ 0, 0, 4 }, { blocked_ignored_open(text) })
  end

  it("is ended by SIGTERM, from a task, from init and from at_exit", function()
    local function try()
      local name = os.tmpname()
      os.execute("kill -TERM $$; echo execute >> " .. name)
      io.popen("kill -TERM $$; echo popen >> " .. name):close()
      coroutine.wrap(function() os.execute("kill -TERM $$; echo coroutine >> " .. name) end)()
      local file = assert(io.open(name))
      local text = file:read("*a")
      file:close()
      os.remove(name)
      return text
    end
    local own = assert(weir.pool { threads = 1, init = try, at_exit = function() error("at_exit:" .. try(), 0) end })
    assert.are.same({ true, "", "" }, { own:run(function(first) return first, try() end):get() })
    assert.are.same({ nil, "at_exit:" }, { own:close() })
  end)

  it("by io.popen has nothing blocked, no SIGPIPE ignored, no descriptor inherited", function()
    local _, text = pool:run(function(command)
      local own = assert(io.open("/dev/null"))
      local pipe = assert(io.popen(command))
      local output = pipe:read("*a")
      pipe:close()
      own:close()
      return output
    end, SIGNALS):get()
    is_clean(text)
  end)

  it("by os.execute likewise", function()
    local name = os.tmpname()
    local ok = pool:run(function(command) os.execute(command) end, SIGNALS .. " > " .. name):get()
    assert.is_true(ok)
    local file = assert(io.open(name))
    is_clean(file:read("*a"))
    file:close()
    os.remove(name)
  end)

  it("while in the main program it inherits what is there", function()
    local pipe = assert(io.popen(SIGNALS)) -- shows that the checks above can fail
    local _, ignored, open = blocked_ignored_open(pipe:read("*a"))
    pipe:close()
    assert.are.equal(socket and 1 or 0, ignored)
    assert.is_true(open > 4)
  end)

  it("is interrupted by SIGPIPE when nobody reads what it writes", function()
    local ok, line = pool:run(function()
      local pipe = io.popen("yes")
      local first = pipe:read("*l")
      pipe:close() -- returns: it has ended
      return first
    end):get()
    assert.are.same({ true, "y" }, { ok, line })
  end)

  it("starts while another thread waits in a read", function()
    local two = assert(weir.pool { threads = 2 })
    local here, go = gate.new(), gate.new()
    local waiting = two:run(function(h, g)
      local pipe = io.popen(("echo > %s; read line < %s; echo $line"):format(h, g))
      local line = pipe:read("*l")
      pipe:close()
      return line
    end, here, go)
    gate.pass(here)
    local other = two:run(function()
      local pipe = io.popen("echo other")
      local line = pipe:read("*l")
      pipe:close()
      return line
    end)
    assert.are.same({ true, "other" }, { other:get() })
    gate.open_last(go, "late")
    assert.are.same({ true, "late" }, { waiting:get() })
    os.remove(here)
    two:close()
  end)
end)

describe("os.execute in a task", function()
  it("returns what it returns elsewhere", function()
    for _, command in ipairs { "true", "exit 0", "exit 3", "exit 123", "kill -9 $$", "/no/such/command 2>/dev/null" } do
      same_in_a_task(function(c) return os.execute(c) end, command)
    end
    same_in_a_task(function() return os.execute() end)
    same_in_a_task(function() return os.execute(nil) end)
  end)

  it("refuses what is no command", function()
    local _, there = both(function() return pcall(os.execute, {}) end)
    assert.is_false(there[1])
    assert.matches("string expected, got table", there[2])
  end)
end)

describe("io.popen in a task", function()
  it("reads and closes as elsewhere", function()
    same_in_a_task(function()
      local pipe = assert(io.popen("echo one; echo 2; printf rest; exit 7"))
      local one, two, rest = pipe:read("*l", "*n", "*a")
      return io.type(pipe), one, two, rest, pipe:read("*l"), pipe:close()
    end)
    same_in_a_task(function()
      local pipe = assert(io.popen("kill -15 $$"))
      return io.close(pipe)
    end)
    same_in_a_task(function()
      local lines, pipe = {}, assert(io.popen("echo a; echo b", "r"))
      for line in pipe:lines() do lines[#lines + 1] = line end
      return lines, pipe:close()
    end)
  end)

  it("writes as elsewhere", function()
    local name = os.tmpname()
    same_in_a_task(function(file)
      local pipe = assert(io.popen("cat > " .. file, "w"))
      local written = pipe:write("a", 1, "b") == pipe
      local flushed = io.type(pipe:flush())
      return written, flushed, select("#", pipe:close())
    end, name)
    local file = assert(io.open(name))
    assert.are.equal("a1b", file:read("*a"))
    file:close()
    os.remove(name)
  end)

  it("gives a file that is closed when it is closed", function()
    same_in_a_task(function()
      local pipe = assert(io.popen("true"))
      pipe:close()
      return io.type(pipe), tostring(pipe), pcall(pipe.close, pipe)
    end)
  end)

  it("refuses a wrong mode as elsewhere", function()
    same_in_a_task(function() return pcall(io.popen, "true", "x") end)
    same_in_a_task(function() return (pcall(io.popen)) end)
  end)

  it("ends a command that nobody closed when its file is collected", function()
    local ok, line = weir.pool { threads = 1 }:run(function(here)
      local pipe = io.popen("cat > /dev/null; echo gone > " .. here, "w")
      pipe:write("x")
      pipe = nil -- luacheck: ignore
      collectgarbage()
      collectgarbage()
      return "collected"
    end, "/dev/null"):get()
    assert.are.same({ true, "collected" }, { ok, line })
  end)

  it("leaves other files as they are", function()
    local name = os.tmpname()
    same_in_a_task(function(n)
      local file = assert(io.open(n, "w"))
      file:write("text")
      local closed = { file:close() }
      local again = io.open(n)
      local text = again:read("*a")
      return closed, text, io.close(again), io.type(again)
    end, name)
    os.remove(name)
  end)
end)
