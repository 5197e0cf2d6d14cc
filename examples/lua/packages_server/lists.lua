-- SPDX-License-Identifier: ISC
--
-- lists.lua: finds the machine's package lists and reads them: paragraphs of
-- "Field: value" lines.

local lists = {}

local DETAILS = { Depends = true, Homepage = true, Maintainer = true, Provides = true, Section = true, Tag = true }

--- The lists that apt has fetched; if there are none, the packages that dpkg knows.
function lists.here()
  local command = "apt-get indextargets --format '$(FILENAME)' 'Created-By: Packages' 2>/dev/null"
  local pipe, found = io.popen(command), {}
  if pipe then
    for line in pipe:lines() do found[#found + 1] = line end
    pipe:close()
  end
  return found[1] and found or { "/var/lib/dpkg/status" }
end

local function quoted(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

-- apt keeps its lists in several formats, and has a program that reads them all. Its last
-- line shows whether it failed, because not every Lua tells how a command ended.
local function open_list(path)
  if not path:match "%.[bglx]?z[24]?$" and not path:match "%.lzma$" and not path:match "%.zst$" then
    return assert(io.open(path))
  end
  return assert(io.popen("/usr/lib/apt/apt-helper cat-file " .. quoted(path) .. " 2>/dev/null || echo '\1'"))
end

local function add_line(package, line)
  local field, value = line:match "^(%w[%w-]*):%s*(.-)%s*$" -- others continue the field above
  if field == "Package" then
    package.name = value
  elseif field == "Version" then
    package.version = value
  elseif field == "Description" then
    package.summary = value
  elseif DETAILS[field] then
    package.details[#package.details + 1] = line .. "\n"
  end
end

local function nothing() return { name = "", version = "", summary = "", details = {} } end

--- Calls add(name, version, summary, details) for each package in the list.
function lists.read(path, add)
  local file, package = open_list(path), nothing()
  local function finish()
    if package.name ~= "" then
      add(package.name, package.version, package.summary, table.concat(package.details))
    end
    package = nothing()
  end
  for line in file:lines() do
    if line == "\1" then error("cannot read " .. path, 0) end
    if line == "" then finish() else add_line(package, line) end
  end
  finish()
  file:close()
end

return lists
