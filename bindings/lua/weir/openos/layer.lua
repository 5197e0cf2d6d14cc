-- SPDX-License-Identifier: ISC
--
-- weir.openos.layer: tells the scheduler's yields from a program's own. The scheduler's yield
-- MARK. While the machine runs, coroutine.resume and wrap are the ones in this file. They
-- pass a MARK on to their own resumer, so that it reaches the scheduler through any number of
-- the program's coroutines, and the program sees only its own yields.
--
-- fiber.inner is the innermost coroutine of the fiber that these functions know of,
-- fiber.layers the number of coroutines above the first. There is no way down to the scheduler
-- from any other coroutine (resumed by a function that was taken before), from inside a C
-- function that calls back, and on 5.1 from inside pcall, metamethods and iterators. `leave`
-- then returns false.

local layer = {}

local real = coroutine
local create, yield, running, status = real.create, real.yield, real.running, real.status
local resume, wrap, is_yieldable = real.resume, real.wrap, real.isyieldable

local MARK = setmetatable({}, { __tostring = function() return "weir: a thread that waits" end })
layer.MARK, layer.create, layer.resume, layer.status = MARK, create, resume, status

-- ---- leaving -------------------------------------------------------------------

local is_plain_51 = _VERSION == "Lua 5.1" and not rawget(_G, "jit")

-- Lua does not tell how many C calls are on the stack, so this uses up the rest of its 200.
local function c_calls_left(n)
  local ok, more = pcall(c_calls_left, n + 1)
  return ok and more or n
end

local function probe()
  local _, n = resume(create(c_calls_left), 0)
  return n
end

local ROOM = 30 -- C calls that a thread on top has left

--- Whether a thread can be run on top of this C stack.
function layer.has_room()
  return probe() > ROOM
end

local level -- the result of probe in the loop that runs fibers now
local per_resume = is_plain_51 and probe() - select(2, resume(create(probe)))

--- Called when a loop that runs fibers begins; returns the argument of leave_loop.
function layer.enter_loop()
  local before = level
  if is_plain_51 then level = probe() end
  return before
end

function layer.leave_loop(before)
  level = before
end

-- Whether the frames on 5.1 let a yield pass: true or false; nil if they do not tell (a tail
-- call, or a function that was called without a name).
local function is_clear()
  local depth, sure = 4, true
  local info = debug.getinfo(depth, "nS")
  while info do
    local below = debug.getinfo(depth + 1, "nS")
    if info.what == "C" or info.name == "(for generator)" then return false end
    if info.what == "tail" or below and not info.name then sure = nil end
    depth, info = depth + 1, below
  end
  return sure
end

local function can_yield_51(fiber)
  local clear = is_clear()
  if clear == nil then return probe() == level - per_resume * (1 + (fiber.layers or 0)) end
  return clear
end

--- Yields to the scheduler: true when the scheduler has resumed it; false if there is no way.
function layer.leave(fiber)
  local co = running()
  if co ~= fiber.inner or co == nil then return false end
  if is_yieldable then
    if not is_yieldable() then return false end
  elseif not is_plain_51 then
    return (pcall(yield, MARK)) -- on 5.2 it fails if there is no way
  elseif not can_yield_51(fiber) then
    return false
  end
  yield(MARK)
  return true
end

-- ---- the program's coroutines ---------------------------------------------------

-- scheduler.fiber() is the running fiber; scheduler.pass(fiber) leaves it, or runs the others
-- on top of it; scheduler.EXIT unwinds all that it passes.
local scheduler

local resumed

local function go_on(fiber, above, co, ...)
  fiber.inner = co
  if is_plain_51 then fiber.layers = (fiber.layers or 0) + 1 end
  return resumed(fiber, above, co, resume(co, ...))
end

function resumed(fiber, above, co, ok, first, ...)
  fiber.inner = above
  if is_plain_51 then fiber.layers = fiber.layers - 1 end
  if first == MARK and ok then
    scheduler.pass(fiber)
    return go_on(fiber, above, co)
  elseif first == scheduler.EXIT and not ok then
    error(first, 0)
  end
  return ok, first, ...
end

local function layered_resume(co, ...)
  local fiber = scheduler.fiber()
  local above = fiber.inner
  if above == nil or running() ~= above then return resume(co, ...) end
  return go_on(fiber, above, co, ...)
end

local CALLER = is_plain_51 and 3 or 2 -- there a tail call is a level

local function returned(co, ok, ...)
  if ok then return ... end
  local problem = ...
  if real.close and status(co) == "dead" then real.close(co) end
  error(problem, type(problem) == "string" and CALLER or 0)
end

local function layered_wrap(f)
  local co = create(f)
  return function(...) return returned(co, layered_resume(co, ...)) end
end

function layer.install(the_scheduler)
  scheduler = the_scheduler
  real.resume, real.wrap = layered_resume, layered_wrap
end

function layer.restore()
  real.resume, real.wrap = resume, wrap
end

return layer
