-- SPDX-License-Identifier: ISC

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local run = require("support.program").run

describe("a program", function()
  it("ends with a pool that idles", function()
    assert.are.equal("exit 0\n", run [[pool = weir.pool { threads = 2 }]])
  end)

  it("ends while tasks run and others are queued", function()
    assert.are.equal("exit 0\n", run [[
      local pool = weir.pool { threads = 1 }
      local here = gate.new()
      pool:run(function(name)
        require("support.gate").open(name)
        while true do end
      end, here)
      for _ = 1, 10 do pool:run(function() end) end
      gate.pass(here)
      os.remove(here)
    ]])
  end)

  it("ends while tasks wait in C, also with an error of its own", function()
    assert.matches("mistake.*exit 1\n$", run [[
      local pool = weir.pool { threads = 2 }
      local here, never = gate.new(), gate.new()
      for _ = 1, 2 do
        future = pool:run(function(a, b)
          local g = require "support.gate"
          g.open(a)
          g.pass(b)
        end, here, never)
        gate.pass(here)
      end
      os.remove(here)
      os.remove(never)
      error "mistake"
    ]])
  end)

  it("ends by os.exit while tasks run", function()
    assert.are.equal("exit 3\n", run [[
      local pool = weir.pool { threads = 1 }
      pool:run(function() while true do end end)
      os.exit(3)
    ]])
  end)

  it("ends by os.exit that closes its state", function()
    assert.are.equal("exit 3\n", run [[
      local pool = weir.pool { threads = 1 }
      pool:run(function() while true do end end)
      os.exit(3, true)
    ]])
  end)

  it("ends while a task waits for it in run_in_main", function()
    assert.are.equal("exit 0\n", run [[
      local pool = weir.pool { threads = 1 }
      local here = gate.new()
      pool:run(function(name)
        require("support.gate").open(name)
        require("weir").run_in_main(function() end)
      end, here)
      gate.pass(here)
      os.remove(here)
    ]])
  end)

  it("prints a failure that nobody read", function()
    local output = run([[
      local pool = weir.pool { threads = 1 }
      local future = pool:run(function() error "forgotten" end)
      future:wait()
      pool:close()
    ]], true)
    assert.matches("^weir: a task failed and nobody asked: program:%d+: forgotten\nstack traceback", output)
    assert.matches("exit 0\n$", output)
  end)

  it("can be ended by a task through run_in_main", function()
    assert.are.equal("exit 7\n", run [[
      local pool = weir.pool { threads = 1 }
      pool:run(function() require("weir").run_in_main(os.exit, 7) end):get()
    ]])
  end)
end)

describe("os.exit in a task", function()
  it("raises and names the way out", function()
    local expected = "program:3: os.exit: not in a thread of pool 'p'; use weir.run_in_main(os.exit)"
    assert.are.equal("false\t" .. expected .. "\nexit 0\n", run [[
      local pool = weir.pool { threads = 1, name = "p" }
      print(pool:run(function() os.exit(1) end):get())
      pool:close()
    ]])
  end)
end)

describe("the module", function()
  it("stays loaded for its threads when the state that loaded it is closed", function()
    -- os.exit(_, true) closes the state, and unloads, while the task still returns
    for _ = 1, 5 do
      assert.are.equal("exit 0\n", run [[
        local pool = weir.pool { threads = 4 }
        for i = 1, 400 do pool:run(function(n) for _ = 1, n do end end, i * 100) end
        os.exit(0, true)
      ]])
    end
  end)

  it("can be loaded again in the same state", function()
    assert.are.equal("true\t2\nexit 0\n", run [[
      for name in pairs(package.loaded) do if name:match "^weir" then package.loaded[name] = nil end end
      local again = require "weir"
      local pool = again.pool { threads = 1 }
      print(pool:run(function() return 2 end):get())
      pool:close()
    ]])
  end)
end)

describe("without a descriptor left", function()
  local FILL = [[
    local function fill()
      local files = {}
      repeat files[#files + 1] = io.open "/dev/null" or false until not files[#files]
      return files
    end
  ]]

  it("a pool cannot be opened, which is said; a wait raises it at no line of weir's", function()
    assert.are.equal("nil\tout of descriptors\nnil\tout of descriptors\nfalse\tweir: out of descriptors\nexit 0\n",
      run(FILL .. [[
        local files = fill()
        print(weir.pool { threads = 1 })
        print(weir.pool_async { threads = 1 })
        print(pcall(weir.sleep, 0))
        files[1]:close()
      ]], false, "ulimit -n 40;"))
  end)

  it("a task cannot submit, which is said", function()
    assert.are.equal("nil\tout of descriptors\nnil\tout of descriptors\ntrue\nexit 0\n", run(FILL .. [[
      local pool, pack = weir.pool { threads = 1 }, table.pack or function(...) return { ... } end
      local _, a, b = pool:run(function(p)
        require "weir"
        local files = fill()
        local run, post = pack(p:run(print)), pack(p:post(print))
        for _, file in ipairs(files) do if file then file:close() end end
        return run, post
      end, pool):get()
      print(a[1], a[2])
      print(b[1], b[2])
      print(pool:close())
    ]], false, "ulimit -n 40;"))
  end)
end)

describe("an at_exit that fails", function()
  -- Of a program that ends when none but its own thread is left.
  local function alone(text)
    return run(text .. [[
      repeat
        local pipe = io.popen "ls /proc/$PPID/task 2>&1 | wc -l"
        local n = pipe:read "*n"
        pipe:close()
      until n == 1
    ]])
  end

  it("is told on stderr where no handle is left to ask", function()
    assert.are.equal("weir: at_exit of pool 'gone' failed and nobody asked: bye\nexit 0\n", alone [[
      weir.pool { name = "gone", threads = 1, at_exit = function() error("bye", 0) end }
      collectgarbage()
      collectgarbage()
    ]])
  end)

  it("is told to on_unhandled where nobody reads the close", function()
    assert.are.equal("bye\tnil\nexit 0\n", run [[
      weir.on_unhandled(print)
      local pool = weir.pool { threads = 1, at_exit = function() error("bye", 0) end }
      pool:close_async():wait()
      collectgarbage()
      collectgarbage()
    ]])
  end)

  it("is told once by who closes", function()
    assert.are.equal("nil\tbye\ntrue\nexit 0\n", alone [[
      local pool = weir.pool { threads = 1, at_exit = function() error("bye", 0) end }
      print(pool:close())
      print(pool:close())
      pool = nil
      collectgarbage()
      collectgarbage()
    ]])
  end)
end)
