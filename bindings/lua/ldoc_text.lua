-- SPDX-License-Identifier: ISC
--
-- ldoc_text.lua: from the text of a comment to HTML, for LDoc: config.ld names it. Other
-- formats need a package that may be missing (then a page is one line of plain text), or
-- take the underscores of a name for emphasis.
--
-- Knows what our comments use: paragraphs, lists ("- ", lines of an item are indented by
-- two), code (indented by four), `code`, **strong**, and HTML that LDoc has put in.

local ENTITIES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;" }

local function escape(text)
  return (text:gsub("[&<>]", ENTITIES))
end

-- Of what stands outside of code: only what cannot be LDoc's own HTML.
local function escape_text(text)
  text = text:gsub("&(%s)", "&amp;%1"):gsub("<([^%a/!])", "&lt;%1"):gsub("(%s)>", "%1&gt;")
  return text:gsub("%*%*(.-)%*%*", "<strong>%1</strong>"):gsub("\\_", "_")
end

local function inline(text)
  local parts, from = {}, 1
  for before, code, after in text:gmatch "()`([^`]+)`()" do
    parts[#parts + 1] = escape_text(text:sub(from, before - 1))
    parts[#parts + 1] = "<code>" .. escape(code) .. "</code>"
    from = after
  end
  parts[#parts + 1] = escape_text(text:sub(from))
  return table.concat(parts)
end

-- ---- blocks: {kind =, lines...} -----------------------------------------------------

local function kind_of(line, current)
  if current == "html" or line:find "^%s*<pre" then return "html" end
  if line:find "^%s*$" then return current == "code" and "code" or nil end
  if line:find "^    " and current ~= "text" and current ~= "item" then return "code" end
  if line:find "^%s?%s?%- " then return "item", true end
  return current == "item" and line:find "^  " and "item" or "text"
end

local function split(text)
  local blocks, block = {}, nil
  for line in (text .. "\n"):gmatch "(.-)\r?\n" do
    local kind, is_new = kind_of(line, block and block.kind)
    if kind and (is_new or not block or kind ~= block.kind) then
      block = { kind = kind }
      blocks[#blocks + 1] = block
    end
    if kind then block[#block + 1] = line else block = nil end
    if kind == "html" and line:find "</pre>" then block = nil end
  end
  return blocks
end

local write = {}

function write.html(block) return table.concat(block, "\n") end

function write.code(block)
  local code = table.concat(block, "\n"):gsub("%s+$", ""):gsub("^    ", ""):gsub("\n    ", "\n")
  return "<pre>" .. escape(code) .. "</pre>"
end

function write.text(block) return "<p>" .. inline(table.concat(block, "\n")) .. "</p>" end

function write.item(block, before, after)
  local text = inline((table.concat(block, "\n"):gsub("^%s*%- ", "")))
  local first, last = before ~= "item" and "<ul>\n" or "", after ~= "item" and "\n</ul>" or ""
  return first .. "<li>" .. text .. "</li>" .. last
end

return function(text)
  local blocks = split(text)
  local parts = {}
  for i, block in ipairs(blocks) do
    local before, after = blocks[i - 1], blocks[i + 1]
    parts[i] = write[block.kind](block, before and before.kind, after and after.kind)
  end
  return table.concat(parts, "\n")
end
