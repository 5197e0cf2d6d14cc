-- SPDX-License-Identifier: ISC
--
-- weir.nvim, the help page and the example plugin, inside an editor.

local support = require "support"
local weir = require "weir"
local weir_nvim = require "weir.nvim"

local same, until_true = support.same, support.until_true

local function with_pool(options, body)
  local pool = assert(weir_nvim.pool(options))
  body(pool)
  assert(pool:close())
end

local function pack(...) return { n = select("#", ...), ... } end

-- What the future ends with, and whether that came where vim.api may be used.
local function result(future)
  local got
  future:on_settle(function(f) got = { vim.in_fast_event(), pack(f:get()) } end)
  until_true(function() return got end)
  same(false, got[1])
  return got[2]
end

local function message(f, ...)
  local ok, problem = pcall(f, ...)
  same(false, ok)
  return problem
end

local function beats_while(running)
  local beats, timer = 0, vim.loop.new_timer()
  timer:start(1, 1, vim.schedule_wrap(function() beats = beats + 1 end))
  running()
  timer:stop()
  timer:close()
  return beats
end

support.run {
  { "results come by vim.schedule", function()
    with_pool({ threads = 1 }, function(pool)
      same({ true, 5, nil, { 1 }, n = 4 }, result(pool:run(function(n) return n + 1, nil, { 1 } end, 4)))
      same({ true, "nil", n = 2 }, result(pool:run(function() return type(vim) end)))
    end)
  end },
  { "a coroutine is suspended, and goes on where vim.api may be used", function()
    with_pool({ threads = 1 }, function(pool)
      local got
      coroutine.wrap(function()
        local ok, n = pool:run(function() return 7 end):get()
        weir.sleep(0.001)
        got = { ok, n, vim.in_fast_event() }
      end)()
      same(nil, got)
      until_true(function() return got end)
      same({ true, 7, false }, got)
    end)
  end },
  { "tasks find the modules of 'runtimepath', also of later ones", function()
    with_pool({ threads = 1 }, function(pool)
      local folder = support.folder {
        ["lua/weir_rtp/a.lua"] = "return { f = function(n) return require('weir_rtp').add(n) end }",
        ["lua/weir_rtp/init.lua"] = "return { add = function(n) return n + 10 end }",
      }
      vim.opt.runtimepath:append(folder)
      same({ true, 11, n = 2 }, result(pool:run(require("weir_rtp.a").f, 1)))
      same({ true, 12, n = 2 }, result(pool:run(function(n) return require("weir_rtp").add(n) end, 2)))
      vim.opt.runtimepath:remove(folder)
    end)
  end },
  { "init and at_exit find them too, and tasks get the state", function()
    local folder = support.folder { ["lua/weir_state.lua"] =
      "return { make = function(a, b) return { a + b } end, leave = function(s) assert(s[1] == 7) end }" }
    vim.opt.runtimepath:append(folder)
    local state = require "weir_state"
    with_pool({ threads = 1, init = state.make, args = { 3, 4 }, at_exit = state.leave }, function(pool)
      same({ true, 7, 1, n = 3 }, result(pool:run(function(s, n) return s[1], n end, 1)))
    end)
    vim.opt.runtimepath:remove(folder)
  end },
  { "a task reports to the editor", function()
    with_pool({ threads = 1 }, function(pool)
      local lines = {}
      local report = weir.progress(function(text)
        vim.api.nvim_buf_set_lines(0, 0, -1, false, { text })
        lines[#lines + 1] = vim.api.nvim_buf_get_lines(0, 0, -1, false)[1]
      end)
      result(pool:run(function(tell) tell "one" tell "two" end, report))
      same({ "one", "two" }, lines)
      same({ true, "file", n = 2 }, result(pool:run(function()
        return require("weir").run_in_main(function() vim.api.nvim_buf_set_name(0, "file") return "file" end)
      end)))
    end)
  end },
  { "a run from a callback of luv is a run", function()
    with_pool({ threads = 1 }, function(pool)
      local future, timer = nil, vim.loop.new_timer()
      timer:start(1, 0, function()
        timer:close()
        future = pool:run(function() return 3 end)
      end)
      until_true(function() return future end)
      same({ true, 3, n = 2 }, result(future))
    end)
  end },
  { "a failure that nobody reads is shown", function()
    local shown, notify = nil, vim.notify
    vim.notify = function(text, level) shown = { text, level } end
    with_pool({ threads = 1 }, function(pool)
      pool:run(function() error "lost" end)
      until_true(function()
        collectgarbage()
        return shown
      end)
    end)
    vim.notify = notify
    assert(shown[1]:find "a task failed and nobody asked: .*lost", shown[1])
    same(vim.log.levels.ERROR, shown[2])
  end },
  { "cancel_all ends what runs and what is queued", function()
    with_pool({ threads = 1 }, function(pool)
      local running, queued = pool:run(function() while true do end end), pool:run(function() end)
      until_true(function() return pool:stats().running == 1 end)
      pool:cancel_all()
      same({ false, "cancelled", n = 2 }, result(running))
      same({ false, "cancelled", n = 2 }, result(queued))
      same({ true, 1, n = 2 }, result(pool:run(function() return 1 end)))
    end)
  end },
  { "wrong arguments are named at the caller's line", function()
    with_pool({ threads = 1 }, function(pool)
      local here = "^[^:]*test_nvim%.lua:%d+: "
      local text = message(function() pool:run(5) end)
      assert(text:find(here .. "run: argument 1 must be a function, got 5"), text)
      text = message(function() pool:run(print, { coroutine.create(print) }) end)
      assert(text:find(here .. "run: argument 2%[1%]: coroutine"), text)
      text = message(function() weir_nvim.pool { thread = 1 } end)
      assert(text:find(here .. 'weir%.nvim%.pool: options: unknown option "thread"'), text)
      text = message(function() pool.run {} end)
      assert(text:find(here .. "run: called on a table"), text)
    end)
  end },
  { "the end of the editor cancels tasks, and waits for at_exit", function()
    local log = vim.fn.tempname()
    local code, output = support.editor(([[
      local pool = require("weir.nvim").pool { threads = 1, exit_timeout = 20, init = function() return {} end,
        at_exit = function() io.open(%q, "w"):write("left"):close() end }
      pool:run(function() while true do end end)
      pool:run(function() end)
      vim.wait(20000, function() return pool:stats().running == 1 end, 1)
      vim.cmd "qall!"]]):format(log))
    same({ 0, "" }, { code, output })
    same({ "left" }, vim.fn.readfile(log))
  end },
  { "it does not wait for a task that does not stop", function()
    local code = support.editor [[
      local pool = require("weir.nvim").pool { threads = 1, cancellable = false, exit_timeout = 0 }
      pool:run(function() local n = 0 while true do n = n + 1 end end)
      vim.wait(20000, function() return pool:stats().running == 1 end, 1)
      vim.cmd "qall!"]]
    same(0, code)
  end },
  { ":help weir, whose tags the build made", function()
    vim.cmd "help weir"
    same("weir.txt", vim.fn.expand "%:t")
    vim.cmd "help weir.nvim.pool()"
    vim.cmd "helpclose"
  end },
  { "the page's first program counts lines", function()
    local folder = support.folder { ["three.txt"] = "1\n2\n3\n" }
    local notify, told = vim.notify, {}
    vim.notify = function(text) told[#told + 1] = text end
    local program = vim.env.WEIR_RTP:match "[^,]*$" .. "/first.lua"
    vim.cmd("edit " .. folder .. "/three.txt")
    vim.cmd("luafile " .. program)
    until_true(function() return told[1] end)
    vim.cmd("file " .. folder .. "/gone.txt")
    vim.cmd("luafile " .. program)
    until_true(function() return told[2] end)
    vim.notify = notify
    vim.cmd "bwipeout!"
    same("3 lines", told[1])
    same("failed: ", told[2]:match "^failed: ")
  end },
  { "the example finds each line of a tree", function()
    local folder = support.folder {
      ["a.txt"] = "one\ntwo needle\n", ["b/c.txt"] = "needle\n", ["d.bin"] = "\0needle\n",
    }
    local found
    require("weir_grep").start(folder, "needle", function(n, problem) found = n or problem end)
    until_true(function() return found end)
    same(2, found)
    local seen = {}
    for _, item in ipairs(vim.fn.getqflist()) do
      seen[#seen + 1] = ("%s:%d:%d"):format(vim.fn.fnamemodify(vim.fn.bufname(item.bufnr), ":t"), item.lnum, item.col)
    end
    table.sort(seen)
    same({ "a.txt:2:5", "c.txt:1:1" }, seen)
  end },
  -- A search that blocked the editor would let no timer turn before its end.
  { "the editor's timers turn while the example searches a big tree", function()
    local text, files = ("no match here\n"):rep(200), {}
    for i = 1, 2000 do files[("%d/%d.txt"):format(i % 20, i)] = text end
    files["7/7.txt"] = text .. "needle\n"
    local folder, turns = support.folder(files), 0
    while turns < 50 do
      turns = turns + beats_while(function()
        local found
        require("weir_grep").start(folder, "needle", function(n, problem) found = n or problem end)
        until_true(function() return found end)
        same(1, found)
      end)
    end
    vim.cmd "WeirGrep needle"
    require("weir.nvim").stop()
  end },
}
