-- SPDX-License-Identifier: ISC
--
-- weir.loop.luv: libuv's loop. luv knows no coroutines: programs resume theirs from callbacks.
-- So a coroutine is taken for luv's only if no other loop is loaded; otherwise call
-- weir.loop.use(weir.loop.luv).

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
  if not suspended[co] then return end -- it has gone on, or waits for something else
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

-- The handle is only stopped, never closed: luv up to 1.44 crashes if a state ends while a
-- handle is closing, and no loop may run to finish the closing. A program that closes all
-- handles may have closed it.
function luv.watch(fd, fn)
  local poll = polls[fd]
  if not poll or poll:is_closing() then poll = uv().new_poll(fd) end
  polls[fd] = poll
  poll:start("r", fn)
  return function() poll:stop() end
end

-- Whether it is weir's.
function luv.has_made(handle)
  for _, poll in pairs(polls) do
    if poll == handle then return true end
  end
  return false
end

return luv
