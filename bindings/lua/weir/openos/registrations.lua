-- SPDX-License-Identifier: ISC
--
-- weir.openos.registrations: listeners and timers, and the calls that they make.
--
-- Each process has a table of its own, by id. A call runs as a fiber of that process, on
-- top of the fiber that waits there: `process.fiber` is the topmost, fiber.below the next.
-- The fiber below is covered until all calls for this signal have been made. Then it gets
-- the signal itself, if it waited for it.

local check = require "weir.check"
local host = require "weir.openos.host"
local scheduler = require "weir.openos.scheduler"
local signals = require "weir.openos.signals"

local registrations = {}

local heap = scheduler.heap

local listeners = {} -- name -> list of registrations

-- ---- the tables ------------------------------------------------------------------

local function add_listener(entry)
  local list = listeners[entry.name]
  if not list then
    list = {}
    listeners[entry.name] = list
  end
  list[#list + 1] = entry
  entry.index = #list
end

local function remove_listener(entry)
  local list = listeners[entry.name]
  local last = list[#list]
  list[entry.index], last.index = last, entry.index
  list[#list] = nil
  if #list == 0 then listeners[entry.name] = nil end
end

--- Adds a registration to its process: {callback =, name = } or {callback =, interval =,
-- times =}. Returns its id, the lowest free one of the process.
function registrations.add(process, entry)
  local all = process.registrations
  if not all then
    all = { lowest = 1 }
    process.registrations = all
  end
  local id = all.lowest
  while all[id] do id = id + 1 end
  all[id], all.lowest = entry, id + 1
  entry.process, entry.id = process, id
  if process.life == "dead" then return id end -- its thread is about to end
  if entry.name then
    add_listener(entry)
  else
    entry.deadline = host.now() + entry.interval
    heap:add(entry, entry.deadline)
  end
  return id
end

function registrations.remove(entry)
  local all, id = entry.process.registrations, entry.id
  if all[id] ~= entry then return end
  all[id] = nil
  all.lowest = math.min(all.lowest, id)
  if entry.index then remove_listener(entry) end
  if entry.place then heap:remove(entry) end
  entry.is_due = nil
end

function registrations.remove_all(process)
  local all = process.registrations
  process.registrations = nil
  for _, entry in pairs(all or {}) do
    if type(entry) == "table" then
      if entry.index then remove_listener(entry) end
      if entry.place then heap:remove(entry) end
      entry.is_due = nil
    end
  end
end

--- The registration of the process for which predicate(entry, ...) is true, or nil.
function registrations.find(process, predicate, ...)
  for _, entry in pairs(process.registrations or {}) do
    if type(entry) == "table" and predicate(entry, ...) then return entry end
  end
end

-- ---- calls -----------------------------------------------------------------------

local function is_registered(entry)
  local all = entry.process.registrations
  return all ~= nil and all[entry.id] == entry
end

-- A series: {process =, under = the covered fiber, is_wanted = whether that fiber gets the
-- signal, signal =, entries..., at = index}
local function uncover(series)
  local fiber = series.under
  series.process.fiber = fiber
  if not fiber then return end
  fiber.is_covered = nil
  if series.is_wanted and fiber.state == "waiting" then
    scheduler.wake_first(fiber, series.signal)
  else
    scheduler.release(fiber)
  end
end

local function call_next(series, add)
  local entry
  repeat
    series.at = series.at + 1
    entry = series[series.at]
    if not entry then return uncover(series) end
  until series.is_timer or is_registered(entry)
  local fiber = { process = series.process, series = series, below = series.under, since = 0 }
  series.process.fiber = fiber
  add(fiber, entry.callback, series.signal)
end

-- The listeners of a deaf process are called when a signal comes; the process gets it at its
-- next pull. So the signal notes that they were called.
local function note_told(signal, process)
  signal.told = signal.told or {}
  signal.told[process] = true
end

local function begin(series)
  local fiber = series.process.fiber
  series.under, series.at = fiber, 0
  if fiber then
    if fiber.state == "waiting" then signals.note(fiber) end
    fiber.is_covered = true
  end
  call_next(series, scheduler.add)
end

--- Called when a call's fiber has ended.
function registrations.ended(fiber, ok, value)
  local series = fiber.series
  local entry = series[series.at]
  if not ok then
    registrations.failed(value, debug.traceback(fiber.co, check.text(value)))
  elseif value == false and is_registered(entry) then
    registrations.remove(entry)
  end
  call_next(series, scheduler.add_first)
end

local function is_earlier(a, b) return a.id < b.id end

-- A series of calls for each process that the signal concerns.
local function series_of(list, signal)
  local all, of = {}, {}
  for i = 1, #list do
    local process = list[i].process
    local series, fiber = of[process], process.fiber
    if not series and not (signal.told and signal.told[process]) and signals.concerns_process(process) then
      series = { process = process, signal = signal }
      series.is_wanted = fiber and signals.matches(fiber, signal)
      of[process], all[#all + 1] = series, series
    end
    if series then series[#series + 1] = list[i] end
  end
  return all
end

--- Calls the listeners of a signal, before it is offered to the fibers that wait for it.
function registrations.call(signal)
  local list = listeners[signal[1]]
  local all = list and series_of(list, signal) or {}
  for i = 1, #all do
    table.sort(all[i], is_earlier)
    signal.is_taken = true
    local process = all[i].process
    if process.fiber and process.fiber.is_deaf then note_told(signal, process) end
    begin(all[i])
  end
end

--- Called when a timer is due. A timer of a frozen process stays due until the thaw.
function scheduler.on.due(entry)
  if not entry.is_due or entry.process.frozen > 0 then return end
  entry.is_due = nil
  entry.times = entry.times - 1
  entry.deadline = entry.deadline + entry.interval
  if entry.times > 0 then heap:add(entry, entry.deadline) else registrations.remove(entry) end
  begin { process = entry.process, is_timer = true, entry }
end

--- Called when the process is thawed.
function registrations.thaw(process)
  for _, entry in pairs(process.registrations or {}) do
    if type(entry) == "table" and entry.is_due then
      entry.is_due = nil
      heap:add(entry, entry.deadline)
    end
  end
end

return registrations
