-- SPDX-License-Identifier: ISC
--
-- heap.lua: who is due when: the earliest first, of equal ones the one that was added
-- first. An entry is any table; a heap keeps its place in entry.place.

local heap = {}
heap.__index = heap

function heap.new()
  return setmetatable({ size = 0, added = 0 }, heap)
end

local function is_before(a, b)
  return a.due < b.due or a.due == b.due and a.number < b.number
end

local function put(self, i, entry)
  self[i], entry.place = entry, i
end

local function up(self, i, entry)
  while i > 1 do
    local above = (i - i % 2) / 2
    if not is_before(entry, self[above]) then break end
    put(self, i, self[above])
    i = above
  end
  put(self, i, entry)
end

local function down(self, i, entry)
  while 2 * i <= self.size do
    local below = 2 * i
    if below < self.size and is_before(self[below + 1], self[below]) then below = below + 1 end
    if not is_before(self[below], entry) then break end
    put(self, i, self[below])
    i = below
  end
  put(self, i, entry)
end

--- Adds an entry that stands in no heap, due at the time `due`.
function heap:add(entry, due)
  self.size, self.added = self.size + 1, self.added + 1
  entry.due, entry.number = due, self.added
  up(self, self.size, entry)
end

--- Takes the entry out, if it is in.
function heap:remove(entry)
  local i, last = entry.place, self[self.size]
  if not i then return end
  self[self.size], entry.place = nil, nil
  self.size = self.size - 1
  if last == entry then return end
  up(self, i, last)
  down(self, last.place, last)
end

--- When the earliest entry is due, or nil.
function heap:due()
  return self[1] and self[1].due
end

--- Takes out and returns the earliest entry that is due by `now`, or nil.
function heap:pop(now)
  local first = self[1]
  if not first or first.due > now then return nil end
  self:remove(first)
  return first
end

return heap
