-- SPDX-License-Identifier: ISC
--
-- weir.openos.signals: the signal queue, and the waits for signals.
--
-- A signal is offered twice. When it is pushed, it is offered to the threads that wait. When
-- it is popped (the machine has nothing else to do, so the program waits as well), it is
-- offered to the program and to the threads that did not wait at the push. So every process
-- sees every signal once, or misses it if it waits at neither time.
--
-- The queue holds LIMIT signals, as in OpenOS. A signal that comes when the queue is full is
-- offered to the threads that wait, and to nothing later.
--
-- A wait for something other than a signal (a future, a mutex of weir's) is deaf. Signals
-- that are popped while a process is deaf stay in `queue`, behind `popped`, for its next pull:
-- the last LIMIT signals, as long as there is a process that `keeps`.
--
-- Waits are indexed by the name that they want, those for a plain text by that text, and by
-- the first value that they want, so that a signal touches no other waits. As in the original
-- a name is a Lua pattern that matches anywhere: "key" also waits for "key_down".

local signals = {}

local LIMIT = 256

local pushed, popped = 0, 0
local queue = {} -- by number; the places of dropped signals are nil
local n_queued, n_keeping = 0, 0

function signals.is_full()
  return n_queued >= LIMIT
end

--- Appends a signal, {n =, name, ...}, if there is space. The caller then offers it.
function signals.push(...)
  local signal = { n = select("#", ...), ... }
  if n_queued < LIMIT then
    pushed, n_queued = pushed + 1, n_queued + 1
    queue[pushed], signal.is_queued = signal, true
  end
  return signal
end

function signals.is_empty()
  return pushed == popped
end

-- ---- waits, by name ------------------------------------------------------------

local MAGIC = "[%^%$%*%+%?%.%(%[%%%-]"

local any = { pattern = ".*" } -- all of these are lists, linked through next_wait
local exact, plain, patterns = {}, {}, {} -- pattern -> list
local lengths = {} -- length of a plain text -> the number of lists for such texts
local n_lists, sweep_at = 0, 64

-- Returns the table that has the lists of a pattern, and the text to look up in it.
local function place_of(pattern)
  if not pattern:find(MAGIC) then return plain, pattern end
  local text = pattern:match "^%^(.*)%$$"
  if text and not text:find(MAGIC) then return exact, text end
  return patterns, pattern
end

local function add_length(place, text, n)
  if place == plain then
    local count = (lengths[#text] or 0) + n
    lengths[#text] = count > 0 and count or nil
  end
end

-- Empty lists stay for the next wait, but no more of them than there are other lists.
local function sweep(place)
  for text, list in pairs(place) do
    if not (list.first or list.by) then
      place[text] = nil
      add_length(place, text, -1)
      n_lists = n_lists - 1
    end
  end
end

local function make_list(place, text, pattern)
  if n_lists >= sweep_at then
    sweep(exact)
    sweep(plain)
    sweep(patterns)
    sweep_at = 2 * n_lists + 64
  end
  local list = { pattern = pattern }
  place[text] = list
  n_lists = n_lists + 1
  add_length(place, text, 1)
  return list
end

local function list_of(pattern)
  if pattern == nil then return any end
  local place, text = place_of(pattern)
  if place == patterns then string.find("", pattern) end
  return place[text] or make_list(place, text, pattern)
end

--- The list of the waits for a pattern (nil: any name) and this first value (nil: any).
-- Raises for a malformed pattern.
function signals.list(pattern, value)
  local list = list_of(pattern)
  if value == nil or value ~= value then return list end
  local by = list.by or {}
  local own = by[value] or { pattern = list.pattern, above = list, value = value }
  list.by, by[value] = by, own
  return own
end

local function link(list, fiber)
  local last = list.last
  fiber.list, fiber.previous_wait = list, last
  if last then last.next_wait = fiber else list.first = fiber end
  list.last = fiber
end

local function unlink(fiber)
  local list, before, after = fiber.list, fiber.previous_wait, fiber.next_wait
  if before then before.next_wait = after else list.first = after end
  if after then after.previous_wait = before else list.last = before end
  fiber.list, fiber.previous_wait, fiber.next_wait = nil, nil, nil
  if not list.first and list.above then
    local above = list.above
    above.by[list.value] = nil
    if next(above.by) == nil then above.by = nil end
  end
end

-- ---- who has seen what ---------------------------------------------------------

-- A program is offered what is popped, a thread what is pushed.
local function now_of(process)
  return process.is_program and popped or pushed
end

--- Called when a process begins: it does not get signals that were popped before.
function signals.begin(process)
  process.seen = popped
end

--- Notes that the fiber waited until now, so signals pushed meanwhile were offered to it.
function signals.note(fiber)
  fiber.process.seen = now_of(fiber.process)
end

-- Notes that all signals up to number `last` have been seen.
local function trim(process, last)
  local unseen, kept = process.unseen or {}, nil
  for i = 1, #unseen, 2 do
    if unseen[i + 1] > last then
      kept = kept or {}
      kept[#kept + 1] = math.max(unseen[i], last + 1)
      kept[#kept + 1] = unseen[i + 1]
    end
  end
  process.unseen = kept
end

local function add_unseen(process, from, to)
  local unseen = process.unseen or {}
  process.unseen = unseen
  if unseen[#unseen] == from - 1 then
    unseen[#unseen] = to
  else
    unseen[#unseen + 1] = from
    unseen[#unseen + 1] = to
  end
end

--- Notes that the fiber looks at signals from now on (again).
function signals.look(fiber)
  local process = fiber.process
  local now = now_of(process)
  fiber.since = pushed
  if process.unseen and not process.keeps then trim(process, popped) end
  if process.seen < now and (process.keeps or popped < pushed) then add_unseen(process, process.seen + 1, now) end
  process.seen = now
end

--- Called when the fiber is suspended with its process.
function signals.freeze(fiber)
  if fiber.state == "waiting" and not fiber.is_deaf then signals.note(fiber) else signals.look(fiber) end
end

--- Notes that the process was suspended until now, and missed the signals pushed meanwhile.
function signals.thaw(process)
  process.seen = now_of(process)
end

-- ---- what is kept for the next pull ----------------------------------------------

--- The list of a wait for something other than a signal.
signals.deaf = {}

local function keep(process)
  if not process.keeps then n_keeping = n_keeping + 1 end
  process.keeps = true
end

--- Drops the signals that were kept for the process.
function signals.forget(process)
  if not process.keeps then return end
  process.keeps = nil
  n_keeping = n_keeping - 1
  if n_keeping > 0 then return end
  for i = popped - LIMIT + 1, popped do queue[i] = nil end
end

local function is_of(list, filter, signal)
  return (list == any or signal[1]:find(list.pattern)) and (not filter or filter(signal))
end

local function recall_from(from, to, list, filter)
  for i = math.max(from, popped - LIMIT + 1), math.min(to, popped) do
    if queue[i] and is_of(list, filter, queue[i]) then return i end
  end
end

--- Of the signals popped while the fiber's process was deaf, the first that the fiber wants,
-- or nil. The signals before it then count as seen.
function signals.recall(fiber, list, filter)
  local process = fiber.process
  if not process.keeps or fiber.is_deaf or list == signals.deaf then return nil end
  signals.look(fiber)
  local unseen = list and process.unseen or {}
  for i = 1, #unseen, 2 do
    local found = recall_from(unseen[i], unseen[i + 1], list, filter)
    if found then
      trim(process, found)
      return queue[found]
    end
  end
  trim(process, popped)
  signals.forget(process)
end

--- The fiber begins to wait for the signals of `list`; nil: for none, and misses all that come.
function signals.enter(fiber, list)
  fiber.is_deaf = list == signals.deaf or nil
  if fiber.is_deaf then
    signals.look(fiber)
    keep(fiber.process)
  else
    if not list then signals.recall(fiber) end
    signals.look(fiber)
    if list then link(list, fiber) end
  end
end

function signals.leave(fiber)
  if not fiber.is_deaf then signals.note(fiber) end
  fiber.is_deaf = nil
  if fiber.list then unlink(fiber) end
end

--- Whether signals that were there when the fiber began to wait are still to be offered to
-- it, so that its wait cannot end yet without a signal.
function signals.is_behind(fiber)
  return fiber.list ~= nil and popped < fiber.since and (fiber.process.is_program or fiber.process.unseen ~= nil)
end

local popping = false -- whether the second of the two offers is made
local offers = 0

-- Whether a process has not seen the popped signal.
local function is_unseen(process)
  local unseen = process.unseen
  for i = 1, unseen and #unseen or 0, 2 do
    if unseen[i] <= popped and popped <= unseen[i + 1] then return true end
  end
  return false
end

--- Whether the offered signal concerns this fiber.
function signals.concerns(fiber)
  local process = fiber.process
  if fiber.state ~= "waiting" or fiber.is_covered or process.frozen > 0 then return false end
  if process.is_program then return popping end
  return not popping or is_unseen(process)
end

--- Whether it concerns a process's listeners. A process without a fiber looks when the program
-- does.
function signals.concerns_process(process)
  if process.fiber then return signals.concerns(process.fiber) end
  return popping and process.frozen == 0
end

--- Whether the fiber waits for the signal.
function signals.matches(fiber, signal)
  return fiber.list ~= nil and is_of(fiber.list, fiber.filter, signal)
end

-- ---- offers --------------------------------------------------------------------

local function offer_to(list, signal, take)
  local fiber = list.first
  while fiber do
    local after = fiber.next_wait
    if signals.concerns(fiber) and (not fiber.filter or fiber.filter(signal)) then
      signal.is_taken = true
      take(fiber, signal)
    end
    fiber = after
  end
end

local function offer_list(list, signal, take)
  local of_value = list.by and signal[2] ~= nil and list.by[signal[2]]
  if list.first then offer_to(list, signal, take) end
  if of_value then offer_to(of_value, signal, take) end
end

local function offer_plain(name, signal, take)
  for length in pairs(lengths) do
    for i = 1, #name - length + 1 do
      local list = plain[name:sub(i, i + length - 1)]
      if list and list.offered ~= offers then -- "a" occurs twice in "data"
        list.offered = offers
        offer_list(list, signal, take)
      end
    end
  end
end

--- Calls take(fiber, signal) for each fiber that waits for the signal and that it concerns.
-- take may end that fiber's wait, and begins none.
function signals.offer(signal, take)
  local name = signal[1]
  offers = offers + 1
  if exact[name] then offer_list(exact[name], signal, take) end
  offer_plain(name, signal, take)
  for pattern, list in pairs(patterns) do
    if (list.first or list.by) and name:find(pattern) then offer_list(list, signal, take) end
  end
  offer_list(any, signal, take)
end

-- While a process keeps signals, the taken one stays where it is, behind `popped`.
local function take_next()
  popped = popped + 1
  local signal = queue[popped]
  if n_keeping == 0 then queue[popped] = nil else queue[popped - LIMIT] = nil end
  return signal
end

--- Takes the oldest signal off the queue, if there is one, and calls each(signal), which offers
-- it.
function signals.pop(each)
  local signal
  while not signal and popped < pushed do signal = take_next() end
  if not signal then return end
  n_queued = n_queued - 1
  popping = true
  each(signal)
  popping = false
end

--- Removes the signals of that name from the queue.
function signals.drop(name)
  for i = popped + 1, pushed do
    if queue[i] and queue[i][1] == name then
      queue[i], n_queued = nil, n_queued - 1
    end
  end
  while popped < pushed and not queue[popped + 1] do take_next() end
end

return signals
