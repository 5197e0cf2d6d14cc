-- SPDX-License-Identifier: ISC
--
-- first.lua: counts the lines of the current file beside the editor; :luafile runs it.

local pool = assert(require("weir.nvim").pool { name = "count", threads = 2 })

local function count(path) -- on a thread: may read for as long as it likes
  local n = 0
  for _ in io.lines(path) do n = n + 1 end
  return n
end

pool:run(count, vim.api.nvim_buf_get_name(0)):on_settle(function(future)
  local ok, n = future:get()
  vim.notify(ok and n .. " lines" or "failed: " .. tostring(n))
end)
