-- SPDX-License-Identifier: ISC
--
-- weir.openos.heap: who is due when; the earliest first, of equal ones the one that was
-- added first. An entry is any table; its place is kept in entry.place. The times stand
-- in an array of their own, so that a comparison touches no entry.

local heap = {}

local times, numbers, entries, size = {}, {}, {}, 0
local added = 0

local function put(i, time, number, entry)
  times[i], numbers[i], entries[i] = time, number, entry
  entry.place = i
end

local function is_before(i, time, number)
  return times[i] < time or times[i] == time and numbers[i] < number
end

local function up(i, time, number, entry)
  while i > 1 do
    local above = (i - i % 2) / 2
    if is_before(above, time, number) then break end
    put(i, times[above], numbers[above], entries[above])
    i = above
  end
  put(i, time, number, entry)
end

local function down(i, time, number, entry)
  while true do
    local below = 2 * i
    if below > size then break end
    if below < size and is_before(below + 1, times[below], numbers[below]) then below = below + 1 end
    if not is_before(below, time, number) then break end
    put(i, times[below], numbers[below], entries[below])
    i = below
  end
  put(i, time, number, entry)
end

function heap.add(entry, time)
  size, added = size + 1, added + 1
  up(size, time, added, entry)
end

function heap.remove(entry)
  local i = entry.place
  entry.place = nil
  local time, number, last = times[size], numbers[size], entries[size]
  times[size], numbers[size], entries[size] = nil, nil, nil
  size = size - 1
  if i > size then return end
  local above = (i - i % 2) / 2
  if i > 1 and not is_before(above, time, number) then up(i, time, number, last) else down(i, time, number, last) end
end

--- The earliest entry's time, or nil.
function heap.time()
  return times[1]
end

--- The earliest entry, taken off, if it is due at `now`.
function heap.take(now)
  local time = times[1]
  if not time or time > now then return nil end
  local entry = entries[1]
  heap.remove(entry)
  return entry
end

return heap
