-- SPDX-License-Identifier: ISC
--
-- weir.loop.copas: Copas 4. The only file that touches Copas; it looks the module up at
-- every call, because programs reload it. Copas has no word for "this coroutine is
-- mine": while it runs, every coroutine is taken for its own. Copas before 4 cannot
-- wake a coroutine: there who waits blocks.

local copas_loop = { name = "copas" }

local SELECT_LIMIT = 1024 -- LuaSocket's select takes no higher descriptor

local function copas()
  local module = package.loaded.copas
  return type(module) == "table" and module.wakeup and module or nil
end

copas_loop.instance = copas

function copas_loop.present()
  return copas() ~= nil
end

function copas_loop.owns()
  local module = copas()
  return module ~= nil and module.running == true
end

function copas_loop.suspend(_, timeout)
  if timeout then copas().pause(timeout) else copas().pauseforever() end
end

function copas_loop.resume(co)
  copas().wakeup(co)
end

function copas_loop.spawn(fn, ...)
  copas().addthread(fn, ...)
end

-- ---- the descriptor, as a socket that never has anything to read ----------------

local source = {}
source.__index = source

local sources = setmetatable({}, { __mode = "k" }) -- Copas -> its source, while its thread lives

function source:getfd() return self.fd end
function source.dirty() return false end
function source.settimeout() return true end
function source.close() return true end

-- Copas calls it at first and whenever the descriptor is readable, until it gives something.
function source:receive()
  self.inside = true
  if not self.stopped then self.fn() end
  self.inside = false
  if self.stopped then return true end
  return nil, "timeout"
end

-- Once stopped it lets those go on whom the last delivery woke: mostly they have more.
local function read(module, self)
  repeat
    module.receive(self)
    if self.stopped then module.pause() end
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
    self = setmetatable({ fd = fd }, source)
    sources[module] = self
    module.addthread(read, module, self)
  end
  self.fn, self.stopped = fn, false
  return function()
    self.stopped = true
    if not self.inside then module.close(self) end -- makes Copas look at it again
  end
end

return copas_loop
