-- SPDX-License-Identifier: ISC
--
-- search.lua: runs in tasks, which find this module by 'runtimepath'.

local search = {}

-- The files below a folder. ^C and cancel end the command, too.
function search.files(folder)
  local list = {}
  local quoted = "'" .. folder:gsub("'", "'\\''") .. "'"
  local pipe = assert(io.popen("find " .. quoted .. " -type f -not -path '*/.git/*'"))
  for name in pipe:lines() do list[#list + 1] = name end
  pipe:close()
  return list
end

local function is_text(file)
  local start = file:read(512)
  file:seek "set"
  return start and not start:find("\0", 1, true)
end

-- The lines in the files that contain text, as items of a quickfix list.
function search.lines(files, text)
  local found = {}
  for i = 1, #files do
    local file, n = io.open(files[i]), 0
    if file and is_text(file) then
      for line in file:lines() do
        n = n + 1
        local column = line:find(text, 1, true)
        if column then found[#found + 1] = { filename = files[i], lnum = n, col = column, text = line } end
      end
    end
    if file then file:close() end
  end
  return found
end

return search
