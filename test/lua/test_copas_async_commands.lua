-- SPDX-License-Identifier: ISC
--
-- weir.copas_async: os_execute and io_popen give what Lua's own give here.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local async = require "weir.copas_async"
local folder = require "support.folder"
local gate = require "support.gate"
local in_copas = require "support.in_copas"
local program = require "support.program"

local copas = in_copas.module()
local run = copas and in_copas.run or function(...) for _, f in ipairs { ... } do f() end end
local plain51 = _VERSION == "Lua 5.1" and not rawget(_G, "jit")

local unpack = table.unpack or unpack -- luacheck: ignore

local function pack(...) return { n = select("#", ...), ... } end

local function refuses(pattern, f) -- also by what suspends first
  local ok, problem = (plain51 and copas and require("coxpcall").pcall or pcall)(f)
  problem = problem:gsub("\nstack traceback:.*", "") -- which coxpcall adds
  assert.is_false(ok)
  assert.matches("^test/lua/test_copas_async_commands.lua:%d+: " .. pattern, problem)
end

describe("os_execute", function()
  it("returns true and what os.execute returns", function()
    run(function()
      for _, command in ipairs { "exit 0", "exit 123", "kill -9 $$" } do
        assert.are.same(pack(true, os.execute(command)), pack(async.os_execute(command)))
      end
      assert.are.same(pack(true, os.execute()), pack(async.os_execute()))
    end)
  end)

  it("refuses what is no command", function()
    refuses("copas.async.os_execute: argument 1 must be a string, got table", function() async.os_execute {} end)
  end)

  it("lets other coroutines go on", function()
    if not copas then skip "there is no Copas 4" end
    local go, done = gate.new(), nil
    run(function() done = { async.os_execute("read line < " .. go .. "; exit 3") } end,
      function()
        copas.pause()
        assert.is_nil(done)
        gate.open_last(go)
      end)
    assert.are.same({ true, os.execute("exit 3") }, done)
  end)
end)

describe("a descriptor for reading", function()
  it("reads in every form that files know, and closes as they do", function()
    local command = "echo one; echo 2 3; echo; printf four5678; exit 7"
    run(function()
      local file, fd = io.popen(command), async.io_popen(command)
      for _, formats in ipairs { {}, { "*n", "*n" }, { 1 }, { "*l" }, { 4, 0, "*a" }, { "*a" }, { "*l" }, { 1 }, {} } do
        assert.are.same(pack(file:read(unpack(formats))), pack(fd:read(unpack(formats)))) -- luacheck: ignore
      end
      assert.are.same(pack(file:close()), pack(fd:close()))
    end)
  end)

  it("brings any bytes", function()
    run(function()
      local fd = async.io_popen [[printf 'a\000b\377\r\nlast']]
      assert.are.equal("a\0b\255\r\nlast", fd:read("*a")) -- not every version's *l knows \0
      fd:close()
    end)
  end)

  it("has lines, of every form", function()
    local function all(...)
      local list, fd = {}, async.io_popen("echo a; echo b; echo; printf c")
      for line in fd:lines(...) do list[#list + 1] = line end
      fd:close()
      return list
    end
    local function test()
      assert.are.same({ "a", "b", "", "c" }, all())
      assert.are.same({ "a", "b", "", "c" }, all("*l"))
      assert.are.same({ "a\n", "b\n", "\n", "c" }, _VERSION ~= "Lua 5.1" and all("*L") or { "a\n", "b\n", "\n", "c" })
      assert.are.same({ "a\nb", "\n\nc" }, all(3))
    end
    if plain51 then test() else run(test) end
  end)

  it("says that lines cannot be in a coroutine of Lua 5.1", function()
    if not plain51 or not copas then return end
    run(function()
      local fd = async.io_popen("true")
      refuses("lines: Lua 5.1 cannot suspend an iterator; call fd:read%(%) in a loop$", function() fd:lines() end)
      fd:close()
    end)
  end)

  it("is there at once, and lets other coroutines go on while it reads", function()
    if not copas then skip "there is no Copas 4" end
    local go, line = gate.new(), nil
    run(function()
      local fd = async.io_popen("read line < " .. go .. "; echo $line")
      line = fd:read()
      fd:close()
    end, function()
      copas.pause()
      assert.is_nil(line)
      gate.open_last(go, "came")
    end)
    assert.are.equal("came", line)
  end)

  it("may be read by several coroutines, one line each", function()
    if not copas then skip "there is no Copas 4" end
    local fd, seen = async.io_popen("echo 1; echo 2; echo 3"), {}
    local function reader()
      local line = fd:read()
      seen[#seen + 1] = line
    end
    run(reader, reader, reader)
    table.sort(seen)
    assert.are.same({ "1", "2", "3" }, seen)
    fd:close()
  end)

  -- Its own shell writes until that fails, or kills it.
  local WRITES = "while echo more; do :; done 2> /dev/null; exit 5"

  it("closes while there is more to read: the command has the program's SIGPIPE", function()
    if not pcall(require, "socket") then skip "there is no LuaSocket, which has SIGPIPE ignored" end
    run(function()
      local fd = async.io_popen(WRITES)
      assert.are.equal("more", fd:read())
      assert.are.same(pack(io.popen("exit 5"):close()), pack(fd:close())) -- it ran to its end
    end)
  end)

  it("which ends it where nothing has that ignored, also in a function", function()
    local output = program.run(([[
      local async = require "weir.copas_async"
      local caught = require("weir.core").catch(13) -- ignored, as here, would be inherited
      local fd = async.io_popen %q
      fd:read()
      print("closed", select("#", io.popen("exit 0"):close()) == 1 or select(3, fd:close()))
      print("called", async(function(command)
        local pipe = io.popen %q
        pipe:read()
        return pipe:close()
      end))
      require("weir.core").signal_release(caught)
    ]]):format(WRITES, WRITES))
    local closed, called = "closed\t13\n", "called\ttrue\tnil\tsignal\t13\n"
    if select("#", io.popen("exit 0"):close()) == 1 then closed, called = "closed\ttrue\n", "called\ttrue\ttrue\n" end
    assert.are.equal(closed .. called .. "exit 0\n", output)
  end)

  it("and so do commands of a function, and of os_execute", function()
    if not pcall(require, "socket") then skip "there is no LuaSocket, which has SIGPIPE ignored" end
    local expected = pack(true, io.popen("exit 5"):close())
    local function early(command)
      return function()
        local pipe = io.popen(command)
        pipe:read()
        return pipe:close()
      end
    end
    run(function()
      assert.are.same(expected, pack(async(early(WRITES))))
      local here = pack(true, os.execute "kill -PIPE $$; exit 6")
      assert.are.same(here, pack(async.os_execute "kill -PIPE $$; exit 6"))
    end)
  end)

  it("raises what a file raises for wrong formats, at the caller's line", function()
    run(function()
      local file, fd = io.popen("echo x"), async.io_popen("echo x")
      local _, expected = pcall(function() file:read("*x") end)
      refuses(expected:gsub("^.-:%d+: ", ""):gsub("%p", "%%%0") .. "$", function() fd:read("*x") end)
      assert.are.equal("x", fd:read())
      file:close()
      fd:close()
    end)
  end)
end)

describe("a descriptor for writing", function()
  it("writes what files write, and returns what they return", function()
    local name = os.tmpname()
    run(function()
      local file, fd = io.popen("cat > /dev/null", "w"), async.io_popen("cat > " .. name .. "; exit 3", "w")
      local theirs, ours = pack(file:write("a", 1, 2.5, "\0b")), pack(fd:write("a", 1, 2.5, "\0b"))
      assert.are.equal(theirs.n, ours.n)
      assert.are.equal(theirs[1] == file, ours[1] == fd)
      assert.are.equal(theirs[1] == true, ours[1] == true)
      file:close()
      file = io.popen("exit 3")
      assert.are.same(pack(file:close()), pack(fd:close()))
    end)
    local file = io.open(name, "rb")
    assert.are.equal("a12.5\0b", file:read("*a"))
    file:close()
    os.remove(name)
  end)

  it("gives an error to who writes to a command that has ended", function()
    run(function()
      local fd = async.io_popen("exec <&-", "w")
      local text, first, problem = ("x"):rep(2 ^ 16), true, nil
      for _ = 1, 100 do -- until it is through the buffers
        first, problem = fd:write(text)
        if not first then break end
      end
      assert.are.same({ nil, "Broken pipe" }, { first, problem })
      fd:close()
    end)
  end)

  it("raises what a file raises for what cannot be written", function()
    run(function()
      local file, fd = io.popen("cat", "w"), async.io_popen("cat", "w")
      local _, expected = pcall(function() file:write("", {}) end)
      refuses(expected:gsub("^.-:%d+: ", ""):gsub("%p", "%%%0") .. "$", function() fd:write("", {}) end)
      file:close()
      fd:close()
    end)
  end)
end)

describe("io_popen", function()
  it("refuses wrong arguments", function()
    refuses("copas.async.io_popen: argument 1 must be a string, got nil", function() async.io_popen() end)
    refuses('copas.async.io_popen: argument 2 %(mode%) must be one of "r", "w", got "rw"',
      function() async.io_popen("true", "rw") end)
  end)

  it("knows for what its pipe is not open, and what there is not", function()
    run(function()
      local r, w = async.io_popen("true", "r"), async.io_popen("true", "w")
      assert.are.same({ nil, "Pipe not open for writing" }, { r:write("x") })
      assert.are.same({ nil, "Pipe not open for reading" }, { w:read() })
      for _, name in ipairs { "flush", "seek", "setvbuf" } do
        assert.are.same({ nil, "Not available." }, { r[name](r) })
      end
      r:close()
      w:close()
    end)
  end)

  it("raises for a descriptor that was closed, as for a file", function()
    run(function()
      local fd = async.io_popen("true")
      fd:close()
      for _, name in ipairs { "read", "write", "lines", "close" } do
        refuses("attempt to use a closed file$", function() fd[name](fd) end)
      end
      refuses("read: called on a table, not on a descriptor %(use fd:read%(%)%)$", function() fd.read {} end)
    end)
  end)

  it("tells why there is no command", function()
    -- without descriptors there is no pipe
    local text = [[
      for name in ("timerwheel copas.semaphore"):gmatch "%S+" do
        package.preload[name] = function() return require("support." .. name) end
      end
      local async = require "weir.copas_async"
      async(function() end)
      local files = {}
      local file, problem
      repeat
        file, problem = io.open("/dev/null")
        files[#files + 1] = file
      until not file
      local why = problem:gsub("^/dev/null", "echo x") -- in the C library's words
      local ok, fd = pcall(async.io_popen, "echo x")
      print(ok, ok and select(2, fd:read()) == why, ok and select(2, fd:close()) == why)
    ]]
    local name = os.tmpname()
    local file = assert(io.open(name, "w"))
    file:write(text)
    file:close()
    local pipe = io.popen(("ulimit -n 30; timeout %d %s %s 2>&1"):format(folder.seconds, os.getenv "WEIR_LUA", name))
    local output = pipe:read("*a")
    pipe:close()
    os.remove(name)
    assert.are.equal("true\ttrue\ttrue\n", output)
  end)

  it("keeps no thread for a descriptor that is forgotten", function()
    run(function()
      local out = gate.new()
      do
        local fd = async.io_popen("cat > /dev/null; echo > " .. out, "w")
        fd:write("x")
      end
      for _ = 1, 3 do
        async(function() end)
        collectgarbage()
      end
      gate.pass(out) -- the command ends, for nobody can write any more
      os.remove(out)
    end)
  end)

  it("starves neither calls nor other descriptors", function()
    run(function()
      local go, open = {}, {}
      for i = 1, 30 do
        go[i] = gate.new()
        open[i] = async.io_popen("read line < " .. go[i] .. "; echo $line")
      end
      for i = 1, 30 do assert.are.same({ true, i }, { async(function() return i end) }) end
      for i = 30, 1, -1 do gate.open_last(go[i], "line" .. i) end
      for i = 1, 30 do
        assert.are.equal("line" .. i, open[i]:read())
        open[i]:close()
      end
    end)
  end)
end)
