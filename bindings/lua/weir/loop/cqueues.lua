-- SPDX-License-Identifier: ISC
--
-- weir.loop.cqueues: the running controller of cqueues. Outside a controller nothing can
-- watch: the first wait inside one takes what was submitted outside.

local cqueues = require "cqueues"
local condition = require "cqueues.condition"

local cq_loop = { name = "cqueues" }

local conditions = setmetatable({}, { __mode = "k" }) -- co -> the condition that it waits on

function cq_loop.owns()
  local controller, is_its_own = cqueues.running()
  return controller ~= nil and is_its_own == true
end

function cq_loop.suspend(co, timeout)
  local wake = conditions[co]
  if not wake then
    wake = condition.new()
    conditions[co] = wake
  end
  wake:wait(timeout)
end

function cq_loop.resume(co)
  if conditions[co] then conditions[co]:signal() end
end

function cq_loop.spawn(fn, ...)
  cqueues.running():wrap(fn, ...)
end

function cq_loop.watch(fd, fn)
  local controller = cqueues.running()
  if not controller then return nil end
  local source, stop, stopped = { pollfd = fd, events = "r" }, condition.new(), false
  controller:wrap(function()
    while not stopped do
      cqueues.poll(source, stop)
      if not stopped then fn() end
    end
  end)
  return function()
    stopped = true
    stop:signal()
  end
end

return cq_loop
