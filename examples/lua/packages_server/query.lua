-- SPDX-License-Identifier: ISC
--
-- query.lua: checks what a client wants to search for.

local query = { VALID = "1 to 100 bytes of UTF-8 text" }

-- Byte patterns of one character. They exclude overlong forms, surrogates, code points
-- beyond Unicode, and NUL.
local CHARACTERS = {
  "[\1-\127]", "[\194-\223][\128-\191]", "\224[\160-\191][\128-\191]",
  "[\225-\236\238\239][\128-\191][\128-\191]", "\237[\128-\159][\128-\191]",
  "\240[\144-\191][\128-\191][\128-\191]", "[\241-\243][\128-\191][\128-\191][\128-\191]",
  "\244[\128-\143][\128-\191][\128-\191]",
}

local function next_character(text, at)
  for _, pattern in ipairs(CHARACTERS) do
    local _, to = text:find("^" .. pattern, at)
    if to then return to + 1 end
  end
end

function query.is_valid(text)
  local at = 1
  while at and at <= #text do at = next_character(text, at) end
  return at ~= nil and #text >= 1 and #text <= 100
end

return query
