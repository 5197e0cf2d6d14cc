-- SPDX-License-Identifier: ISC
--
-- weir.loop.copas: Copas. No other file uses it. It looks the module up at every call, because
-- programs reload it. Copas cannot tell which coroutines are its own: while it runs, every
-- coroutine is taken for one of its.
--
-- Copas 1.1.7 (Debian 12's, Lua 5.1 and 5.2) cannot tell either whether it runs: where it is
-- loaded, every coroutine is taken for one of its. It has no sleep and no wakeup, so a wait
-- with a timeout blocks the thread; and its loop never ends. That Copas closes the socket that
-- a handler waited for last. So a handler whose last wait was one of weir's has to close its
-- client itself.

local block = require "weir.loop.block"

local copas_loop = { name = "copas" }

local SELECT_LIMIT = 1024 -- LuaSocket's select takes no higher descriptor

local loaded = package.loaded
local known -- is Copas, and whole

local function copas()
  local module = loaded.copas
  if module == known then return module end
  if type(module) ~= "table" or not module.addthread then return nil end
  known = module
  return module
end

copas_loop.instance = copas

function copas_loop.present()
  return copas() ~= nil
end

function copas_loop.owns()
  local module = copas()
  return module ~= nil and (module.running == true or not module.wakeup)
end

-- ---- Copas before 4: a waiter is a socket that is readable when it is woken -------

local sleeper = {}
sleeper.__index = sleeper

local sleepers = setmetatable({}, { __mode = "k" }) -- co -> the sleeper that it waits for
local ready -- a socket that is not connected is always readable

function sleeper:getfd()
  if not self.woken then return -1 end -- select leaves it out
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
  if timeout then return module.pause(timeout) end
  return module.pauseforever()
end

function copas_loop.resume(co)
  local module = copas()
  if module.wakeup then return module.wakeup(co) end
  if sleepers[co] then sleepers[co].woken = true end
end

-- The older Copas passes a socket as the first argument; a thread has none.
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

-- Once the source is stopped, select takes it for readable, so that Copas looks at it again.
-- Closing it would not do, because Copas forgets a close that comes before it waits for it.
function source:getfd() return self.fd end
function source:dirty() return self.stopped end
function source.settimeout() return true end
function source.close() return true end -- Copas before 4 closes it itself

-- Copas calls it first and then whenever the descriptor is readable, until it returns a value.
function source:receive()
  if not self.stopped then self.fn() end
  if self.stopped then return true end
  return nil, "timeout"
end

-- Once stopped, it lets the coroutines go on that the last delivery woke, because mostly they
-- submit more.
local function read(module, self)
  repeat
    module.receive(self)
    if self.stopped and module.pause then module.pause() end
  until self.stopped
  if sources[module] == self then sources[module] = nil end
end

-- One thread serves any number of watches of one descriptor that follow each other
-- before the loop runs again.
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
