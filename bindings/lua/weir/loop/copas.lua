-- SPDX-License-Identifier: ISC
--
-- weir.loop.copas: Copas. The only file that touches it; it looks the module up at every
-- call, because programs reload it. Copas has no word for "this coroutine is mine": while
-- it runs, every coroutine is taken for its own.
--
-- Copas 1.1.7 (Debian 12's, Lua 5.1 and 5.2) does not say whether it runs, either: where it
-- is loaded every coroutine is its own. It knows no sleep and no wakeup, so who waits for a
-- time blocks; and its loop never ends. A handler whose last wait was one of ours has to
-- close its client itself: that Copas closes what was waited for last.

local block = require "weir.loop.block"

local copas_loop = { name = "copas" }

local SELECT_LIMIT = 1024 -- LuaSocket's select takes no higher descriptor

local function copas()
  local module = package.loaded.copas
  return type(module) == "table" and module.addthread and module or nil
end

copas_loop.instance = copas

function copas_loop.present()
  return copas() ~= nil
end

function copas_loop.owns()
  local module = copas()
  return module ~= nil and (module.running == true or not module.wakeup)
end

-- ---- Copas before 4: who waits, as a socket that is readable when it is woken ----

local sleeper = {}
sleeper.__index = sleeper

local sleepers = setmetatable({}, { __mode = "k" }) -- co -> what it waits for
local ready -- a socket that is not connected is always readable

function sleeper:getfd()
  if not self.woken then return -1 end -- which select leaves out
  local socket = package.loaded.socket
  ready = ready or (socket.tcp4 or socket.tcp)() -- the other's has no descriptor yet in LuaSocket 3
  return ready:getfd()
end

function sleeper:receive()
  if self.woken then return true end
  return nil, "timeout"
end

function sleeper.dirty() return false end
function sleeper.close() return true end

local function sleep(module, co, timeout)
  if timeout then return block.suspend(nil, timeout) end
  local self = setmetatable({}, sleeper)
  sleepers[co] = self
  module.receive(self)
  sleepers[co] = nil
end

-- ---- suspending ------------------------------------------------------------------

function copas_loop.suspend(co, timeout)
  local module = copas()
  if not module.wakeup then return sleep(module, co, timeout) end
  if timeout then module.pause(timeout) else module.pauseforever() end
end

function copas_loop.resume(co)
  local module = copas()
  if module.wakeup then return module.wakeup(co) end
  if sleepers[co] then sleepers[co].woken = true end
end

-- The older one passes a socket first, of which a thread has none.
local function start(module, fn, ...)
  if module.wakeup then return module.addthread(fn, ...) end
  module.addthread(function(_, ...) return fn(...) end, ...)
end

function copas_loop.spawn(fn, ...)
  start(copas(), fn, ...)
end

-- ---- the descriptor, as a socket that never has anything to read ----------------

local source = {}
source.__index = source

local sources = setmetatable({}, { __mode = "k" }) -- Copas -> its source, while its thread lives

-- Once it is stopped select takes it for readable, so that Copas looks at it again. Closing
-- it would not do: Copas may just let others go on before it waits for it, and forgets that.
function source:getfd() return self.fd end
function source:dirty() return self.stopped end
function source.settimeout() return true end
function source.close() return true end -- Copas before 4 closes it itself

-- Copas calls it at first and whenever the descriptor is readable, until it gives something.
function source:receive()
  if not self.stopped then self.fn() end
  if self.stopped then return true end
  return nil, "timeout"
end

-- Once stopped it lets those go on whom the last delivery woke: mostly they have more.
local function read(module, self)
  repeat
    module.receive(self)
    if self.stopped and module.pause then module.pause() end
  until self.stopped
  if sources[module] == self then sources[module] = nil end
end

-- One thread serves any number of watches of one descriptor that follow each other
-- before the loop turns.
function copas_loop.watch(fd, fn)
  local module = copas()
  if fd >= SELECT_LIMIT then
    error(("weir: Copas cannot watch descriptor %d, only those below %d"):format(fd, SELECT_LIMIT), 0)
  end
  local self = sources[module]
  if not self or self.fd ~= fd then
    self = setmetatable({ fd = fd, fn = fn }, source)
    sources[module] = self
    start(module, read, module, self)
  end
  self.fn, self.stopped = fn, false
  return function() self.stopped = true end
end

return copas_loop
