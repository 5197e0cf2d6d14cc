-- SPDX-License-Identifier: ISC
--
-- hash.lua FILE...: hashes files by a command for each, four at a time, and tells how far it is.

local weir = require "weir"

local function hash(path)
  local quoted = "'" .. path:gsub("'", [['\'']]) .. "'"
  local command = assert(io.popen("sha256sum -- " .. quoted .. " 2>/dev/null"))
  local line = command:read "*l"
  command:close()
  return line and line:match "^%x+" or error("sha256sum cannot read it", 0)
end

local hashed = 0
local progress = weir.progress(function() hashed = hashed + 1 end)

local function hash_and_tell(path)
  local ok, sum = pcall(hash, path)
  progress()
  return ok and sum or error(sum, 0)
end

local pool = assert(weir.pool { name = "hash", threads = 4 })
local futures = {}
for i, path in ipairs(arg) do futures[i] = pool:run(hash_and_tell, path) end
for i, future in ipairs(futures) do
  local ok, sum = future:get()
  print(("%s: %s"):format(arg[i], ok and sum:sub(1, 16) or tostring(sum)))
end
print(("%d of %d hashed"):format(hashed, #arg))
assert(pool:close())
