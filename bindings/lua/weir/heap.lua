-- SPDX-License-Identifier: ISC
--
-- heap.lua: entries ordered by the time when they are due, equal ones in the order in which
-- they were added. An entry is any table; a heap keeps its place in entry.place. The times are
-- in an array of their own, so that a comparison touches no entry.

local heap = {}
heap.__index = heap

function heap.new()
  return setmetatable({ size = 0, added = 0, dues = {}, numbers = {}, entries = {} }, heap)
end

local function put(self, i, due, number, entry)
  self.dues[i], self.numbers[i], self.entries[i] = due, number, entry
  entry.place = i
end

local function move(self, from, to)
  put(self, to, self.dues[from], self.numbers[from], self.entries[from])
end

-- Whether the entry at i comes before an entry with that time and number.
local function is_before(self, i, due, number)
  local its = self.dues[i]
  return its < due or its == due and self.numbers[i] < number
end

local function up(self, i, due, number, entry)
  while i > 1 do
    local above = (i - i % 2) / 2
    if is_before(self, above, due, number) then break end
    move(self, above, i)
    i = above
  end
  put(self, i, due, number, entry)
end

local function down(self, i, due, number, entry)
  local size, dues, numbers = self.size, self.dues, self.numbers
  while 2 * i <= size do
    local below = 2 * i
    if below < size and is_before(self, below + 1, dues[below], numbers[below]) then below = below + 1 end
    if not is_before(self, below, due, number) then break end
    move(self, below, i)
    i = below
  end
  put(self, i, due, number, entry)
end

--- Adds an entry that is in no heap, due at the time `due`.
function heap:add(entry, due)
  self.size, self.added = self.size + 1, self.added + 1
  up(self, self.size, due, self.added, entry)
end

--- Removes the entry, if it is in the heap.
function heap:remove(entry)
  local i, size = entry.place, self.size
  if not i then return end
  local due, number, last = self.dues[size], self.numbers[size], self.entries[size]
  self.dues[size], self.numbers[size], self.entries[size] = nil, nil, nil
  self.size, entry.place = size - 1, nil
  if last == entry then return end
  if i > 1 and not is_before(self, (i - i % 2) / 2, due, number) then
    up(self, i, due, number, last)
  else
    down(self, i, due, number, last)
  end
end

--- The earliest entry, or nil.
function heap:first()
  return self.entries[1]
end

--- The time when the earliest entry is due, or nil.
function heap:due()
  return self.dues[1]
end

--- Removes and returns the earliest entry that is due by `now`, or nil.
function heap:pop(now)
  local due = self.dues[1]
  if not due or due > now then return nil end
  local entry = self.entries[1]
  self:remove(entry)
  return entry
end

return heap
