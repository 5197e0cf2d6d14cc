-- SPDX-License-Identifier: ISC
--
-- peers.lua: how each peer makes calls under each loop.
--
-- A peer is opened with a number of threads and gives a table: flow(plan) makes
-- plan.count calls of plan.f(plan.argument), plan.in_flight at a time (or goes on until
-- plan.stop() is true), hands each result to plan.check and, when plan.times is a list,
-- notes how long each took; run() turns the loop until it has nothing left to do;
-- spawn(f) starts a coroutine of the loop; pause(ms) suspends one.

local fresh = require "bench_fresh"

local now = fresh.now

-- ---- loops ----------------------------------------------------------------------

local loops = {}

function loops.block()
  local started = {}
  return {
    spawn = function(f) started[#started + 1] = f end,
    run = function()
      for i = 1, #started do started[i]() end
      started = {}
    end,
  }
end

function loops.copas()
  local copas = require "copas"
  return {
    spawn = function(f) copas.addthread(f) end,
    run = function() copas.loop() end,
    pause = function(ms) copas.pause(ms / 1000) end,
  }
end

function loops.luv()
  local uv = require "luv"
  return {
    spawn = function(f) assert(coroutine.resume(coroutine.create(f))) end,
    run = function() uv.run() end,
    pause = function(ms)
      local co, timer = coroutine.running(), uv.new_timer()
      timer:start(ms, 0, function() timer:close() assert(coroutine.resume(co)) end)
      coroutine.yield()
    end,
  }
end

function loops.cqueues()
  local cqueues = require "cqueues"
  local controller = cqueues.new()
  return {
    spawn = function(f) controller:wrap(f) end,
    run = function() assert(controller:loop()) end,
    pause = function(ms) cqueues.sleep(ms / 1000) end,
  }
end

-- ---- what keeps calls in flight ---------------------------------------------------

-- next() gives the time when one more call may begin, or nil when there are enough.
local function counter(plan)
  local begun, finished, times = 0, 0, plan.times
  return function()
    if plan.stop and plan.stop() or plan.count and begun == plan.count then return nil end
    begun = begun + 1
    return times and now() or 0
  end, function(began, value)
    if times then times[#times + 1] = now() - began end
    plan.check(value)
    finished = finished + 1
    if finished == plan.count then plan.ended = now() end
  end
end

-- call(f, argument) suspends its coroutine, and returns the result.
local function flow_of(loop, call)
  return function(plan)
    local next, finish = counter(plan)
    local function lane()
      local began = next()
      while began do
        finish(began, call(plan.f, plan.argument))
        began = next()
      end
    end
    for _ = 1, plan.in_flight do loop.spawn(lane) end
  end
end

-- ---- peers ------------------------------------------------------------------------

local peers = {}

function peers.weir(loop, threads, nice)
  local weir = require "weir"
  local pool = assert(weir.pool { threads = threads, nice = nice })
  local function result(ok, value)
    if not ok then error(value, 0) end
    return value
  end
  loop.flow = flow_of(loop, function(f, argument) return result(pool:run(f, argument):get()) end)
  return loop
end

function peers.nice(loop, threads)
  return peers.weir(loop, threads, 5)
end

-- new_work knows callbacks only; a coroutine around it would cost it time.
function peers.new_work(loop, threads, lib)
  local uv = lib or require "luv"
  uv.os_setenv("UV_THREADPOOL_SIZE", tostring(threads)) -- it is read at the first use
  function loop.flow(plan)
    local next, finish = counter(plan)
    for _ = 1, plan.in_flight do
      local began, work
      work = uv.new_work(plan.f, function(value)
        finish(began, value)
        began = next()
        if began then work:queue(plan.argument) end
      end)
      began = next()
      if began then work:queue(plan.argument) end
    end
  end
  return loop
end

function peers.luv_work(loop, threads)
  return peers.new_work(loop, threads, require "weir.luv_work")
end

-- It comes back to Copas the way weir does: by a descriptor, and wakeup.
function peers.fresh(loop)
  local copas = require "copas"
  local watch = require("weir.loop").copas.watch
  local waiting, pending, stop = {}, 0, nil
  local function deliver(call, value)
    local waiter = waiting[call]
    waiting[call], pending = nil, pending - 1
    waiter.value = value
    copas.wakeup(waiter.co)
  end
  local function receive()
    fresh.take(deliver)
    if pending == 0 then
      stop()
      stop = nil
    end
  end
  loop.flow = flow_of(loop, function(f, argument)
    local waiter, call = { co = coroutine.running() }, fresh.start(string.dump(f), argument)
    waiting[call], pending = waiter, pending + 1
    stop = stop or watch(fresh.fd(), receive)
    copas.pauseforever()
    return waiter.value
  end)
  return loop
end

return function(loop, peer, threads)
  return peers[peer](loops[loop](), threads)
end
