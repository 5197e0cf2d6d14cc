-- SPDX-License-Identifier: ISC
--
-- client.lua URL FOLDER TARGETS WIDTH: has a thumbnail made of each image in FOLDER that has none
-- in TARGETS, and shows how far it is. What was made stays, so after anything was killed it is
-- started again and goes on.

local remote = require "weir.remote"

local url, folder, targets, width = arg[1], arg[2], arg[3], tonumber(arg[4])
if not width then
  io.stderr:write "usage: client.lua URL FOLDER TARGETS WIDTH\n"
  os.exit(2)
end

local function list(path)
  local names, pipe = {}, assert(io.popen("ls '" .. path:gsub("'", "'\\''") .. "'"))
  for name in pipe:lines() do names[#names + 1] = name end
  pipe:close()
  return names
end

local there, missing = {}, {}
for _, name in ipairs(list(targets)) do
  there[name] = true
  if name:match "%.part%.png$" then os.remove(targets .. "/" .. name) end -- of a run that was killed
end
for _, name in ipairs(list(folder)) do
  if not there[name .. ".png"] then missing[#missing + 1] = name end
end

local farm = assert(remote.open { url = url })
local count = { made = 0, there = 0, failed = 0 }

local function show()
  io.write(("\r%d of %d made, %d were there, %d failed"):format(count.made, #missing, count.there, count.failed))
  io.flush()
end

local function settled(name)
  return function(future)
    local ok, word, sentence = future:get()
    if not ok then io.stderr:write(("\n%s: %s\n"):format(name, sentence or tostring(word))) end
    local outcome = ok and word or "failed"
    count[outcome] = count[outcome] + 1
    show()
  end
end

local futures = {}
for i, name in ipairs(missing) do
  futures[i] = assert(farm:run("thumbs.resize", folder .. "/" .. name, targets .. "/" .. name .. ".png", width))
  futures[i]:on_settle(settled(name))
end
show()
for _, future in ipairs(futures) do future:wait() end
print()
farm:close()
os.exit(count.failed == 0, true)
