-- SPDX-License-Identifier: ISC
--
-- memory_sweep.lua NAME WHERE: lets the n-th allocation of a scenario fail, and all after
-- it, for n = 0, 1, ... until it succeeds. WHERE is lua (the state's own), own (C's, on
-- this thread) or everywhere (C's, on every thread). Prints "ok" and how many failed, when
-- each failure was told, nothing was lost and nothing is held in the end.

local name, where = ...

-- LuaJIT 2.1 of 2022 (Debian 12) does not find its frame, and crashes, when memory runs out
-- in a loop that it has compiled.
if where == "lua" and rawget(_G, "jit") then require("jit").off() end

local folder = assert(package.cpath:match "^(.-)/%?%.so")
package.cpath = folder .. "/failing/?.so;" .. package.cpath
local fail = assert(package.loadlib(folder .. "/failing/weir/core.so", "luaopen_weir_core_failing"))()
local weir, worker = require "weir", require "weir.worker"
local mailbox, works = require "weir.mailbox", require "weir.work"
weir.on_unhandled(function() end)

local pool = assert(weir.pool { threads = 1 })
assert(pool:run(function() require "weir" end):get()) -- 5.1 does not load twice what failed once

-- After an error of get or wait the future still has what it had.
local function result_of(future)
  return pcall(future.get, future)
end

local script = os.tmpname()
local file = assert(io.open(script, "w"))
file:write "local t = ... worker.message { t[1] + 1, ('x'):rep(300) } local n = worker.peek() worker.message(n)"
file:close()

local function add(a, t) return a + t[1], { a } end

local WORK = { finish = function() end }
local queue_work = works.queue(WORK, function() return nil, "not enough memory" end)

local function thrice(f, ...) -- may fail there, and is served again
  local ok, sum
  for _ = 1, 3 do
    ok, sum = pcall(f, ...)
    if ok then return sum end
  end
  error(sum, 0)
end

-- Each returns true, or a falsy value and why; or raises why. `later` are futures that
-- must have this result, whatever failed.
local scenarios = {
  open = function()
    local own, why = weir.pool { threads = 2, init = function(x) return x end, args = { { 1 } } }
    if not own then return nil, why end
    return own:close()
  end,
  run = function(later)
    local future, why = pool:run(add, 1, { 2 })
    if not future then return nil, why end
    later[1] = future
    local ok, sum = future:get()
    return ok, sum
  end,
  task = function(later)
    local future, why = pool:task({ timeout = 60, start_within = 60, priority = "high" }):run(add, 1, { 2 })
    if not future then return nil, why end
    later[1] = future
    return weir.all({ future }, 60) and (weir.any { future }) == 1
  end,
  cancel = function()
    local future, why = pool:task({ cancellable = true }):run(function()
      while true do local _ = {} end -- allocates, for there ThreadSanitizer lets the signal in
    end)
    if not future then return nil, why end
    local waited, problem = pcall(future.wait, future, 0.001)
    local cancelled, why_not = pcall(future.cancel, future)
    fail[where]()
    future:cancel()
    if not waited then error(problem, 0) end
    if not cancelled then error(why_not, 0) end
    return not future:get()
  end,
  call = function(later)
    local future, why = pool:run(function(t)
      return thrice(require("weir").run_in_main, function(u) return u[1] + 1 end, t), t
    end, { 2 })
    if not future then return nil, why end
    later.any = future
    return future:get()
  end,
  work = function() -- tasks without a future; no loop watches, so this turns
    local ended
    local work = { add, function(sum) ended = sum end, pool }
    mailbox.is_held(true)
    local ok, queued, why = pcall(queue_work, setmetatable(work, WORK), 1, { 2 })
    while ok and queued and weir.loop.pending() > 0 do
      if not pcall(weir.loop.turn, weir.loop.block, 60) then fail[where]() end
    end
    mailbox.is_held(false)
    if not ok then error(queued, 0) end
    return ended == 3, why or "not enough memory"
  end,
  progress = function(later)
    local handle = weir.progress(function(u) return u[1] + 1 end)
    local future, why = pool:run(function(t) return thrice(handle, t), t end, { 2 })
    if not future then return nil, why end
    later.any = future
    return future:get()
  end,
  worker = function() -- its own error is the state's, which had no memory
    local w = worker.create(script, { 1 })
    worker.send(w, "x")
    local sum, n = worker.receive(w), worker.receive(w)
    return sum[1] == 2 and n == "x"
  end,
  close = function()
    local own = assert(weir.pool { threads = 1 })
    fail[where](fail.n)
    local ok, why = own:close()
    fail[where]()
    assert(own:close())
    return ok, why
  end,
  close_async = function()
    local own = assert(weir.pool { threads = 1, at_exit = function() end })
    fail[where](fail.n)
    local ok, closing = pcall(own.close_async, own)
    local done, why = true, nil
    if ok then done, why = pcall(closing.wait, closing) end
    fail[where]()
    assert(own:close())
    if not ok then error(closing, 0) end
    if not done then error(why, 0) end
    return closing:get()
  end,
}

local function attempt(n)
  fail.n = n
  local later = {}
  if name:sub(1, 5) ~= "close" then fail[where](n) end
  local ok, good, why = pcall(scenarios[name], later)
  fail[where]()
  if later[1] and where ~= "everywhere" then
    local got, fine, sum, t = result_of(later[1])
    assert(got and fine and sum == 3 and t[1] == 1, sum)
  elseif later.any or later[1] then
    result_of(later.any or later[1]) -- ends
  end
  if ok then return good, why end
  return nil, good
end

local function sweep()
  for n = 0, 100000 do
    local ok, why = attempt(n)
    if ok then return n end
    why = tostring(why)
    if not why:find("not enough memory", 1, true) then error(("after %d: %s"):format(n, why)) end
    local good, sum = pool:run(add, 1, { 2 }):get() -- nothing is broken
    assert(good and sum == 3, sum)
  end
  error "it never succeeded"
end

local function collect()
  if rawget(_G, "jit") then require("jit").flush() end
  collectgarbage()
  collectgarbage()
  return 1, 2 -- which no future keeps, so that its job is not kept for the next task
end

local function collect_everywhere()
  pool:run(collect):get()
  collect()
end

-- What is held when the last threads have left.
local function held(limit)
  local deadline = os.time() + 60
  repeat collect_everywhere() until fail.alive() <= limit or os.time() > deadline
  return fail.alive()
end

sweep() -- what is kept for later is there afterwards
local before = held(math.huge)
local failures = sweep()
local after = held(before + 3)
if after > before + 3 then error(("holds %d blocks, %d before"):format(after, before)) end
assert(pool:close())
os.remove(script)
print(("ok %d"):format(failures))
