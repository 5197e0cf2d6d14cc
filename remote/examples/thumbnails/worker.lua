-- SPDX-License-Identifier: ISC
--
-- worker.lua URL: makes thumbnails as worker.c does, by the command vipsthumbnail. Ends when its
-- input does.

local remote = require "weir.remote"
local weir = require "weir"

local function quoted(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local function exists(path)
  local file = io.open(path)
  return file and file:close()
end

local function run(...)
  local done = os.execute(string.format(...))
  return done == true or done == 0
end

-- ln fails if the target is there, so what stands there stays.
local function resize(source, target, width)
  if exists(target) then return "there" end
  local request = require("weir.remote").request()
  local part = ("%s.%s.%d.part.png"):format(target, request.id, request.attempt)
  local made = run("vipsthumbnail --size %dx %s -o %s", width, quoted(source), quoted(part))
  local linked = made and run("ln %s %s 2>/dev/null", quoted(part), quoted(target))
  os.remove(part)
  if linked then return "made" end
  if exists(target) then return "there" end
  error({ name = "Vips", text = "vipsthumbnail cannot read " .. source }, 0)
end

local server = assert(remote.serve {
  url = arg[1], pool = { threads = 1 }, jobs = { ["thumbs.resize"] = resize },
})
print "working"
io.stdout:flush()

local input = assert(weir.pool { threads = 1 })
input:run(function() return io.read "*a" end):on_settle(function() server:close() end)
server:wait()
