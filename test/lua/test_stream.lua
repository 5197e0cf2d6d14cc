-- SPDX-License-Identifier: ISC
--
-- test_stream.lua: files that tasks read are what they are elsewhere; that a program ends
-- while one is read stands in test_pending.lua.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local run = require("support.program").run
local weir = require "weir"

local core_path = assert(os.getenv("LUA_CPATH"):match "^(.-)/%?%.so") .. "/failing/weir/core.so"
local it_in_glibc = assert(package.loadlib(core_path, "luaopen_weir_core_failing"))().glibc and it or pending

describe("with the standard input closed", function()
  it("nothing of weir's gets its number", function()
    local none = "/proc/self/fd/0: No such file or directory\n"
    assert.are.equal(none:rep(2) .. "exit 0\n", run([[
      local catcher = assert(require("weir.signal").catch "USR1")
      local pool = assert(weir.pool { threads = 1 })
      local function look() return (select(2, io.open "/proc/self/fd/0")) end
      print(look())
      print(select(2, pool:run(function(look)
        pcall(io.read) -- makes what ends such a read at exit
        local pipe = io.popen "exit"
        local found = look()
        pipe:close()
        return found
      end, look):get()))
      catcher:release()
    ]], false, "exec <&-;"))
  end)
end)

describe("a file that a task reads", function()
  local name, pool

  setup(function()
    name = os.tmpname()
    local file = assert(io.open(name, "w"))
    file:write("12 0x1f\nline\n\nlong ", ("x"):rep(20000), "\nlast")
    file:close()
    pool = assert(weir.pool { threads = 1 })
  end)
  teardown(function()
    pool:close()
    os.remove(name)
  end)

  -- f returns one value that crosses; it is the same here and there.
  local function same(f, ...)
    local ok, there = pool:run(f, ...):get()
    assert.is_true(ok, there)
    assert.are.same(f(...), there)
  end

  it("gives each format, and seeks", function()
    same(function(path)
      local file = assert(io.open(path))
      local list = { file:read("*n", "*n", "*l", "*l", "*l"), n = 0 }
      local function add(...)
        for i = 1, select("#", ...) do list[list.n + i] = select(i, ...) or "nil" end
        list.n = list.n + select("#", ...)
      end
      add(file:seek(), file:read(5), file:read(0))
      add(file:seek("set", 8), file:read "*l", file:seek "cur", file:seek "end", file:read(1))
      add(file:seek("set", 3), #file:read "*a", file:read "*a", file:read "*l", file:seek("end", -4), file:read "*l")
      add(select("#", file:seek("set", -1)), file:seek "cur")
      add(file:setvbuf("full", 16), file:seek("set", 0), file:read "*n", io.type(file))
      add(file:close(), io.type(file), (tostring(file)))
      return list
    end, name)
  end)

  it("gives its lines, also as the default input", function()
    same(function(path)
      local list = {}
      for line in io.lines(path) do list[#list + 1] = line end
      local file = assert(io.open(path, "rb"))
      for line in file:lines() do list[#list + 1] = line end
      file:close()
      local before = io.input()
      list[#list + 1] = io.input(path) == io.input()
      for line in io.lines() do list[#list + 1] = line end
      io.close(io.input())
      io.input(before)
      return list
    end, name)
  end)

  it("is written where it is opened for both", function()
    for _, mode in ipairs { "w+", "r+", "a+", "r+b" } do
      same(function(path, how)
        local file = assert(io.open(path .. ".new", how))
        local list = { file:seek(), file:write("one\n", 2, "\n") and true, file:seek(), file:seek "set" }
        list[5] = file:read "*l"
        file:seek("cur", 0)
        list[6] = file:write(("y"):rep(10000), "\n") and true
        list[7] = file:flush() and true
        file:seek "set"
        list[8] = file:read "*a"
        file:close()
        for line in io.lines(path .. ".new") do list[#list + 1] = line end
        os.remove(path .. ".new")
        assert(io.open(path .. ".new", "w")):close() -- for r+
        return list
      end, name, mode)
    end
    os.remove(name .. ".new")
  end)

  it("fails like any other", function()
    same(function(path)
      local list = { { io.open "/nowhere" }, { io.open("/nowhere", "r+") }, { pcall(io.open, path, "rr") },
        { pcall(io.open) }, { pcall(io.open, path, {}) }, { pcall(io.lines, "/nowhere") },
        { pcall(io.input, "/nowhere") }, { pcall(function() return io.lines "/nowhere" end) },
        { pcall(function() io.input "/nowhere" end) }, { pcall(function() io.open(nil, {}) end) } }
      if io.type(list[3][2]) then list[3][2]:close() list[3][2] = "file" end
      local file = assert(io.open(path))
      list[#list + 1] = { file:write "x" }
      file:close()
      list[#list + 1] = { pcall(file.read, file) }
      local folder = io.open "/"
      list[#list + 1] = { folder:read "*a" }
      list[#list + 1] = { folder:read "*l" }
      folder:close()
      file = assert(io.open("/dev/full", "r+"))
      list[#list + 1] = { (file:write "x") and true }
      list[#list + 1] = { file:flush() }
      file:close()
      for _, results in ipairs(list) do results[1] = results[1] or "none" end
      return list
    end, name)
  end)

  it("has a descriptor that a C module can ask for", function()
    same(function(path, core)
      local fileno = assert(package.loadlib(core, "luaopen_weir_core_failing"))().fileno
      local file = assert(io.open(path))
      local is = fileno(file) > 2
      file:close()
      return is
    end, name, core_path)
  end)

  it_in_glibc("has a descriptor that a C module can ask for, if it is a pipe, too", function()
    same(function(core)
      local fileno = assert(package.loadlib(core, "luaopen_weir_core_failing"))().fileno
      local pipe = assert(io.popen "exit 0")
      local is = fileno(pipe) > 2
      pipe:close()
      return is
    end, core_path)
  end)

  it("is closed by the collector, its descriptor too", function()
    same(function(path)
      local function count()
        local pipe, n = io.popen "ls -l /proc/$PPID/fd", 0
        for line in pipe:lines() do n = n + (line:find(path, 1, true) and 1 or 0) end
        pipe:close()
        return n
      end
      local file = assert(io.open(path))
      local before = count()
      for _ = 1, 20 do
        assert(io.open(path))
        io.lines(path)()
      end
      collectgarbage()
      collectgarbage()
      local after = count()
      file:close()
      return { before, after }
    end, name)
  end)

  it_in_glibc("has no lock while its read waits", function()
    assert.are.equal("true\tcame\nexit 0\n", run [[
      local folder = assert(package.cpath:match "^(.-)/%?%.so")
      local core = assert(package.loadlib(folder .. "/failing/weir/core.so", "luaopen_weir_core_failing"))()
      local here, quiet = gate.new(), gate.new()
      local pool = assert(weir.pool { threads = 1 })
      local future = pool:run(function(open, wait)
        local file = assert(io.open(wait, "r+"))
        require("support.gate").open(open)
        return file:read "*l"
      end, here, quiet)
      gate.pass(here)
      core.flush_all()
      gate.open_last(quiet, "came")
      print(future:get())
      os.remove(here)
      pool:close()
    ]])
  end)

  it("is whole until the process has ended", function()
    for _ = 1, 5 do
      assert.are.equal("exit 0\n", run [[
        local name, here = os.tmpname(), gate.new()
        local file = assert(io.open(name, "w"))
        for _ = 1, 2000 do file:write(("%d"):format(1e9 - 1):rep(10), "\n") end
        file:close()
        local pool = assert(weir.pool { threads = 4 })
        for _ = 1, 4 do
          pool:run(function(path, inside)
            local read, line = assert(io.open(path)), ("999999999"):rep(10)
            require("support.gate").open(inside)
            while true do
              local got = read:read "*l"
              if not got then read:seek "set"
              elseif got ~= line then io.stderr:write("torn: ", got, "\n") end
            end
          end, name, here)
          gate.pass(here)
        end
        os.remove(name)
        os.remove(here)
      ]])
    end
  end)
end)

describe("the standard input of a task", function()
  local function fed(text, program)
    return run(program, false, ("printf '%%b' '%s' |"):format(text))
  end

  it("goes on where another thread stopped", function()
    assert.are.equal("main one\ntask two\ntask 12\ntask \nmain three\ntask four\ntask nil\nmain nil\nexit 0\n",
      fed("one\\ntwo\\n12\\nthree\\nfour", [[
        local a, b = assert(weir.pool { threads = 1 }), assert(weir.pool { threads = 1 })
        local function task(pool, ...) print("task " .. tostring(select(2, pool:run(io.read, ...):get()))) end
        print("main " .. io.read())
        task(a)
        task(b, "*n")
        task(b)
        print("main " .. io.read())
        task(a, "*a")
        task(b)
        print("main " .. tostring(io.read()))
        a:close()
        b:close()
      ]]))
  end)

  it("is read by lines, whole, and closed by nobody", function()
    assert.are.equal("2000\t20\tfalse\nexit 0\n", run([[
      local pool = assert(weir.pool { threads = 1 })
      print(select(2, pool:run(function()
        local lines, last = 0
        for line in io.lines() do lines, last = lines + 1, line end
        return lines, #last, (pcall(io.stdin.close, io.stdin)) and io.type(io.stdin) == "closed file"
      end):get()))
      pool:close()
    ]], false, "for i in $(seq 2000); do printf '%020d\\n' $i; done |"))
  end)
end)
