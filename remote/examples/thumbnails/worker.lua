-- SPDX-License-Identifier: ISC
--
-- worker.lua URL: makes thumbnails as worker.c does, by the command vipsthumbnail. SIGTERM ends it
-- when the jobs that it has begun are done.

local remote = require "weir.remote"
local signal = require "weir.signal"

local function quoted(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local function exists(path)
  local file = io.open(path)
  return file and file:close()
end

local function run(...)
  local done = os.execute(string.format(...))
  return done == true or done == 0
end

-- vipsthumbnail takes a relative target as one in the source's folder.
local function absolute(path)
  if path:sub(1, 1) == "/" then return path end
  local here = assert(io.popen "pwd")
  local folder = here:read()
  here:close()
  return folder .. "/" .. path
end

-- ln fails if the target is there, so what stands there stays.
local function resize(source, target, width)
  if exists(target) then return "there" end
  local request = require("weir.remote").request()
  local part = ("%s.%s.%d.part.png"):format(absolute(target), request.id, request.attempt)
  local made = run("vipsthumbnail --size %dx %s -o %s", width, quoted(source), quoted(part))
  local linked = made and run("ln %s %s 2>/dev/null", quoted(part), quoted(target))
  os.remove(part)
  if linked then return "made" end
  if exists(target) then return "there" end
  error({ name = "Vips", text = "vipsthumbnail cannot read " .. source }, 0)
end

local term = assert(signal.catch "TERM") -- before anything can come
local server = assert(remote.serve {
  url = arg[1], pool = { threads = 1 }, jobs = { ["thumbs.resize"] = resize },
})
print "working"
io.stdout:flush()

term:wait() -- serves meanwhile
server:close()
