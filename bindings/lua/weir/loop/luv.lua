-- SPDX-License-Identifier: ISC
--
-- weir.loop.luv: libuv's loop. luv knows no coroutines: whoever is in one there resumes
-- it from a callback. So a coroutine is taken for luv's only where no other loop is
-- loaded; elsewhere say weir.loop.use(weir.loop.luv).

local luv = { name = "luv" }

local suspended = setmetatable({}, { __mode = "k" })
local loaded, resume, yield = package.loaded, coroutine.resume, coroutine.yield

local function uv()
  return package.loaded.luv or require "luv"
end

function luv.owns()
  return not loaded.copas and not loaded.cqueues
end

luv.present = luv.owns

function luv.suspend(co, timeout)
  local timer = timeout and uv().new_timer()
  if timer then
    timer:start(math.ceil(math.min(timeout, 1e9) * 1000), 0, function() luv.resume(co) end)
  end
  suspended[co] = true
  yield()
  suspended[co] = nil
  if timer then timer:close() end
end

function luv.resume(co)
  if not suspended[co] then return end -- it itself says when it goes on
  local ok, problem = resume(co)
  if not ok then
    io.stderr:write("weir: a coroutine failed: ", debug.traceback(co, tostring(problem)), "\n")
  end
end

function luv.spawn(fn, ...)
  local co = coroutine.create(fn)
  local ok, problem = coroutine.resume(co, ...)
  if not ok then error(problem, 0) end
end

local polls = {} -- descriptor -> its handle, active or stopped

-- It is only stopped, never closed: luv up to 1.44 crashes when a state ends while a
-- handle is closing, and nobody runs the loop to let it be closed.
function luv.watch(fd, fn)
  local poll = polls[fd] or uv().new_poll(fd)
  polls[fd] = poll
  poll:start("r", fn)
  return function() poll:stop() end
end

return luv
