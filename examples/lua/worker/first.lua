-- SPDX-License-Identifier: ISC
--
-- first.lua: words are counted in several files at once, each by a worker.

local worker = require "weir.worker"

local folder = arg[0]:match "^(.*/)" or "./"

local names = { "first.lua", "words.lua", "sandbox.lua" }
local workers = {}
for i, name in ipairs(names) do
  workers[i] = worker.create(folder .. "words.lua")
  worker.send(workers[i], { path = folder .. name, word = "worker" })
end

for i, name in ipairs(names) do
  local found = worker.receive(workers[i]) -- waits for its message
  print(name, found.count > 0 and found.word)
end
