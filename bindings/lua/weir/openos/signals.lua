-- SPDX-License-Identifier: ISC
--
-- weir.openos.signals: the signal queue, and who waits for what.
--
-- A signal is offered twice: when it is pushed, to the threads that wait; and when it is
-- popped (the machine has nothing else to do, so the program waits, too), to the program,
-- and to those threads that did not wait when it was pushed. So everyone sees every signal
-- once, or misses it if it waits at neither time. process.seen: all up to there was
-- offered to it, or is in one of the ranges of process.unseen {from, to, from, to...},
-- which it still is to be offered when they are popped.
--
-- Waits are kept by the name that they want, those for a plain text by that text, and by
-- the first value that they want, so that a signal touches no others. As in the original a name is a Lua pattern, which
-- matches anywhere: "key" also waits for "key_down".

local signals = {}

local pushed, popped = 0, 0
local queue = {}

--- Appends a signal, {n =, name, ...}. It is still to be offered.
function signals.push(...)
  local signal = { n = select("#", ...), ... }
  pushed = pushed + 1
  queue[pushed] = signal
  return signal
end

function signals.is_empty()
  return pushed == popped
end

-- ---- waits, by name ------------------------------------------------------------

local MAGIC = "[%^%$%*%+%?%.%(%[%%%-]"

local any = { pattern = ".*" } -- all of these are lists, linked through next_wait
local exact, plain, patterns = {}, {}, {} -- pattern -> list
local lengths = {} -- of a plain text -> how many lists there are
local n_lists, sweep_at = 0, 64

-- Where lists of a pattern stand; the text that is looked up there.
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

-- Empty lists stay for who waits again, but no more of them than there are others.
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

--- The list of those who wait for a pattern (nil: for anything) with, if it is not nil,
-- this first value. Raises for a malformed pattern.
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

--- The fiber waited until now: what was pushed meanwhile was offered to it.
function signals.note(fiber)
  fiber.process.seen = pushed
end

--- The fiber looks at signals from now on (again).
function signals.look(fiber)
  local process = fiber.process
  fiber.since = pushed
  if popped == pushed then
    process.unseen = nil
  elseif process.seen < pushed then
    local unseen = process.unseen or {}
    process.unseen = unseen
    unseen[#unseen + 1] = process.seen + 1
    unseen[#unseen + 1] = pushed
  end
  process.seen = pushed
end

--- It waits, for what `list` is of; nil: for no signal.
function signals.enter(fiber, list)
  signals.look(fiber)
  if list then link(list, fiber) end
end

function signals.leave(fiber)
  signals.note(fiber)
  if fiber.list then unlink(fiber) end
end

--- Whether signals that were there when it began to wait are still to be offered to it,
-- so that it cannot say yet that none came.
function signals.is_behind(fiber)
  return fiber.list ~= nil and popped < fiber.since and (fiber.process.is_program or fiber.process.unseen ~= nil)
end

local popping = false -- which of the two offers is made
local offers = 0

-- Whether what is popped is unseen by a process.
local function is_unseen(process)
  local unseen = process.unseen
  for i = 1, unseen and #unseen or 0, 2 do
    if unseen[i] <= popped and popped <= unseen[i + 1] then return true end
  end
  return false
end

--- Whether the signal that is being offered is one for this fiber.
function signals.concerns(fiber)
  local process = fiber.process
  if fiber.state ~= "waiting" or fiber.is_covered or process.frozen > 0 then return false end
  if process.is_program then return popping end
  return not popping or is_unseen(process)
end

--- The same for a process's listeners. One without a fiber looks when the program does.
function signals.concerns_process(process)
  if process.fiber then return signals.concerns(process.fiber) end
  return popping and process.frozen == 0
end

--- Whether it waits for the signal.
function signals.matches(fiber, signal)
  local list, filter = fiber.list, fiber.filter
  if not list or list ~= any and not signal[1]:find(list.pattern) then return false end
  return not filter or filter(signal)
end

-- ---- offers --------------------------------------------------------------------

local function offer_to(list, signal, take)
  local fiber = list.first
  while fiber do
    local after = fiber.next_wait
    if signals.concerns(fiber) and (not fiber.filter or fiber.filter(signal)) then take(fiber, signal) end
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
      if list and list.offered ~= offers then -- "a" is twice in "data"
        list.offered = offers
        offer_list(list, signal, take)
      end
    end
  end
end

--- Calls take(fiber, signal) for everyone who waits for it and whom it concerns. take may end
-- that fiber's wait, and begins none.
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

--- Takes the oldest signal off the queue and calls each(signal), which offers it; nothing
-- when there is none.
function signals.pop(each)
  if popped == pushed then return end
  popped = popped + 1
  local signal = queue[popped]
  queue[popped] = nil
  popping = true
  if signal then each(signal) end
  popping = false
end

--- Takes those of that name out of the queue.
function signals.drop(name)
  for i = popped + 1, pushed do
    if queue[i] and queue[i][1] == name then queue[i] = false end
  end
end

return signals
