-- SPDX-License-Identifier: ISC
--
-- memory_sweep.lua NAME WHERE [ROW]: refuses ROW requests of a scenario (all) from the n-th on, for
-- n = 0, 1, ... until none is refused. WHERE is lua (memory of this state), there (of the state of
-- the pool's thread), own (C's, on this thread), everywhere (C's, on every thread), threads or
-- descriptors. Prints "ok", how many attempts failed, and how many requests were refused, when
-- each failure was told, nothing was lost and nothing is held in the end.

local name, where, row = ...
row = tonumber(row) or -1

-- LuaJIT 2.1 of 2022 (Debian 12) does not find its frame, and crashes, when memory runs out
-- in a loop that it has compiled.
if where == "lua" and rawget(_G, "jit") then require("jit").off() end

local folder = assert(package.cpath:match "^(.-)/%?%.so")
package.cpath = folder .. "/failing/?.so;" .. package.cpath
local fail = assert(package.loadlib(folder .. "/failing/weir/core.so", "luaopen_weir_core_failing"))()
-- No collection runs meanwhile, because Lua loses a finalizer that it has no memory to call.
local function refuse(n)
  if where == "lua" then collectgarbage(n and "stop" or "restart") end
  fail[where](n, row)
end

local weir, worker = require "weir", require "weir.worker"
local mailbox, works = require "weir.mailbox", require "weir.work"
local signal = require "weir.signal"
weir.on_unhandled(function() end)

local pool = assert(weir.pool { threads = 1 })
local function prepare(core)
  require "weir" -- 5.1 does not load twice what failed once
  package.loadlib(core, "luaopen_weir_core_failing")().is_there()
  collectgarbage "stop" -- see refuse; collect_everywhere collects
end
assert(pool:run(prepare, folder .. "/failing/weir/core.so"):get())

-- After an error of get or wait the future still has what it had.
local function result_of(future)
  return pcall(future.get, future)
end

local script = os.tmpname()
local file = assert(io.open(script, "w"))
file:write "local t = ... worker.message { t[1] + 1, ('x'):rep(300) } local n = worker.peek() worker.message(n)"
file:close()
local parent = script .. ".parent"
file = assert(io.open(parent, "w"))
file:write [[
local w = worker.create(..., { 2 })
worker.send(w, 0)
local t = worker.receive(w)
worker.message(t[1])]]
file:close()

local function add(a, t) return a + t[1], { a } end

-- Four tasks of a pool of their own.
local function run_four(options)
  local own, why = weir.pool(options)
  if not own then return nil, why end
  local list, ok = {}, true
  for i = 1, 4 do
    list[i], why = own:run(add, 1, { 2 })
    if not list[i] then ok = nil break end
  end
  for _, future in ipairs(list) do
    local got, fine, problem = result_of(future)
    if not (got and fine) then ok, why = nil, problem or fine end
  end
  refuse()
  assert(own:close())
  return ok, why
end

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

-- What a scenario has locked, which attempt unlocks if the scenario could not: who locks a mutex
-- keeps it, and after an error that was caught Lua may need memory for the call of unlock.
local locked

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
    refuse()
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
  mutex = function(later)
    local m = weir.mutex()
    local ok, why = m:lock()
    if not ok then return nil, why end
    locked = m
    local future, problem = pool:run(function(mutex) return mutex:lock() and mutex:unlock() end, m)
    assert(m:unlock())
    locked = nil
    if not future then return nil, problem end
    later.any = future
    return future:get()
  end,
  shared = function()
    weir.shared.set("sweep", { 1 })
    weir.shared.update("sweep", function(t) return { t[1] + 1 } end)
    local t = weir.shared.get "sweep"
    weir.shared.set("sweep", nil)
    return t and t[1] == 2
  end,
  packed = function(later)
    local packed = weir.pack(1, { 2 }, ("x"):rep(300))
    local future, why = pool:run(function(p) return p:unpack() end, packed)
    if not future then return nil, why end
    later.any = future
    local ok, one, t = future:get()
    return ok and one == 1 and t[1] == 2, one
  end,
  signal = function()
    local catcher, why = signal.catch "USR2"
    if not catcher then return nil, why end
    local came = catcher:take()
    catcher:release()
    return not came
  end,
  stream = function(later)
    local future, why = pool:run(function(path)
      local f = assert(io.open(path))
      local text = f:read "*a"
      f:close()
      local next_line = io.lines(path)
      return #next_line(), #text
    end, script)
    if not future then return nil, why end
    later.any = future
    return future:get()
  end,
  full = function() return run_four { threads = 1, queue_limit = 1, on_full = "wait" } end,
  elastic = function() return run_four { threads = 1, threads_max = 3, lazy = true } end,
  family = function() -- a worker that makes another
    local w = worker.create(parent, script)
    local sum = worker.receive(w)
    worker.close(w)
    return sum == 3, sum
  end,
  close = function()
    local own = assert(weir.pool { threads = 1 })
    refuse(fail.n)
    local ok, why = own:close()
    refuse()
    assert(own:close())
    return ok, why
  end,
  close_async = function()
    local own = assert(weir.pool { threads = 1, at_exit = function() end })
    refuse(fail.n)
    local ok, closing = pcall(own.close_async, own)
    local done, why = true, nil
    if ok then done, why = pcall(closing.wait, closing) end
    refuse()
    assert(own:close())
    if not ok then error(closing, 0) end
    if not done then error(why, 0) end
    return closing:get()
  end,
}

local function attempt(n)
  fail.n = n
  local later = {}
  if name:sub(1, 5) ~= "close" then refuse(n) end
  local ok, good, why = pcall(scenarios[name], later)
  refuse()
  if locked then
    assert(locked:unlock())
    locked = nil
  end
  if later[1] and where ~= "everywhere" and where ~= "there" then
    local got, fine, sum, t = result_of(later[1])
    assert(got and fine and sum == 3 and t[1] == 1, sum)
  elseif later.any or later[1] then
    result_of(later.any or later[1]) -- ends
  end
  if ok then return good, why end
  return nil, good
end

-- What an honest refusal says.
local says = {
  threads = { "no thread or task available now", "not enough memory", "refused", "closed", "deadlock" },
  descriptors = { "out of descriptors", "not enough memory" },
}

-- Lua's stack that cannot grow is called too large, whatever the reason.
local function is_honest(why)
  local grows = where == "lua" or where == "there" or where == "everywhere"
  if grows and why:find("stack overflow (too many values)", 1, true) then return true end
  for _, words in ipairs(says[where] or { "not enough memory" }) do
    if why:find(words, 1, true) then return true end
  end
end

local total = 0

local function sweep()
  local failures = 0
  for n = 0, 100000 do
    local ok, why = attempt(n)
    local refused = fail.injected()
    total = total + refused
    if refused == 0 then
      if not ok then error(("without a refusal: %s"):format(tostring(why))) end
      return failures
    end
    why = tostring(why)
    if not ok and not is_honest(why) then error(("after %d: %s"):format(n, why)) end
    failures = failures + (ok and 0 or 1)
    local good, sum = pool:run(add, 1, { 2 }):get() -- nothing is broken
    assert(good and sum == 3, sum)
  end
  error "it never succeeded"
end

-- What earlier calls have left on the stack is held, where no later one has written over it.
local function wipe() return select("#", (unpack or table.unpack)({}, 1, 200)) end -- luacheck: ignore

local function collect()
  if rawget(_G, "jit") then require("jit").flush() end
  collectgarbage()
  collectgarbage()
  return 1, 2 -- which no future keeps, so that its job is not kept for the next task
end

local function collect_everywhere()
  pool:run(collect):get()
  wipe()
  collect()
end

-- What is held once it falls no further, as it does while threads leave.
local function settled()
  local least, same = math.huge, 0
  while same < 100 do
    collect_everywhere()
    local now = fail.alive()
    same = now < least and 0 or same + 1
    least = math.min(now, least)
  end
  return least
end

sweep() -- what is kept for later is there afterwards
local failures
local function grows() -- whether more is held after a sweep than before it
  local before = settled()
  failures = sweep()
  return settled() > before
end
-- What is kept once, one sweep keeps; what is lost, each loses again.
if grows() and grows() and grows() and grows() then
  error(("holds %d blocks, more after each of four sweeps"):format(fail.alive()))
end
assert(pool:close())
os.remove(script)
os.remove(parent)
print(("ok %d %d"):format(failures, total))
