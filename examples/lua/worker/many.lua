-- SPDX-License-Identifier: ISC
--
-- many.lua: a thousand workers wait, on as many threads as there are CPUs. Their answers
-- arrive in any order, and an error arrives like an answer.

local worker = require "weir.worker"

local folder = arg[0]:match "^(.*/)" or "./"
local unpack = table.unpack or unpack -- luacheck: ignore

local workers, sum, failed = {}, 0, nil
for i = 1, 1000 do workers[i] = worker.create(folder .. "square.lua") end
for i = 1, 1000 do worker.send(workers[i], i ~= 500 and i or "five hundred") end

for i = 1, 1000, 50 do -- receive from fifty at a time: a message of one of them
  local some = { unpack(workers, i, i + 49) }
  repeat
    local got = { pcall(worker.receive, unpack(some)) }
    local ok, any = got[1], false
    for k = 2, 51 do
      if ok and got[k] then
        sum, any = sum + got[k], true
      end
    end
    if not ok then failed = got[2] end
  until ok and not any -- all dead, and nothing left
end

print("sum of the squares", sum)
print("and an error", failed:match "attempt to .*" ~= nil)
