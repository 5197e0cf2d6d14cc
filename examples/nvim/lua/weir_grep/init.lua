-- SPDX-License-Identifier: ISC
--
-- weir_grep: searches a tree for a text while the editor goes on. What is found so far stands
-- in the quickfix list.

local search = require "weir_grep.search"
local weir_nvim = require "weir.nvim"

local grep = {}

local FILES = 200 -- of one task
local pool

local function slices(files)
  local list = {}
  for i = 1, #files, FILES do
    list[#list + 1] = { unpack(files, i, math.min(i + FILES - 1, #files)) }
  end
  return list
end

-- In a coroutine, which every get suspends.
local function run(folder, text, done)
  local found, futures = 0, {}
  vim.fn.setqflist({}, " ", { title = "weir_grep: " .. text })
  local ok, files = pool:run(search.files, folder):get()
  if not ok then return done(nil, files) end
  for i, slice in ipairs(slices(files)) do futures[i] = pool:run(search.lines, slice, text) end
  for i = 1, #futures do
    local fine, items = futures[i]:get()
    if not fine then return done(nil, items) end
    vim.fn.setqflist({}, "a", { items = items })
    found = found + #items
  end
  done(found)
end

-- Calls done(number of lines), or done(nil, problem). A search that still runs is given up.
function grep.start(folder, text, done)
  pool = pool or assert(weir_nvim.pool { name = "weir_grep" })
  pool:cancel_all()
  coroutine.wrap(run)(folder, text, done)
end

return grep
