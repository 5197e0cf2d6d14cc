-- SPDX-License-Identifier: ISC
--
-- codec.lua: values through the codec, in this state and to another one.

local peer = require "codec_peer"

local codec = { peer = peer, REFUSE = 0, COPY = 1, DROP = 2 }

codec.luajit = rawget(_G, "jit") ~= nil
codec.lua51 = _VERSION == "Lua 5.1"
codec.has_integers = math.type ~= nil

local function check(ok, ...)
  if not ok then error((...), 3) end
  return ...
end

--- The values, packed and unpacked in this state.
function codec.copy(...)
  return check(peer.unpack(assert(peer.pack(nil, ...))))
end

--- What f(...) returns in a new state.
function codec.there(f, ...)
  local there = peer.open()
  assert(there:take(assert(peer.pack(nil, f, ...))))
  assert(there:call())
  local message = assert(there:give())
  there:close()
  return check(peer.unpack(message))
end

--- The error with which packing ends.
function codec.refusal(...)
  local message, why = peer.pack(...)
  assert(message == nil, "it was packed")
  return why
end

return codec
