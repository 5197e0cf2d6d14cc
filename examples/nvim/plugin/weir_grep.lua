-- SPDX-License-Identifier: ISC
--
-- :WeirGrep TEXT [FOLDER]

vim.api.nvim_create_user_command("WeirGrep", function(call)
  local text, folder = call.fargs[1], call.fargs[2] or "."
  require("weir_grep").start(folder, text, function(found, problem)
    vim.notify(found and ("weir_grep: %d lines"):format(found) or "weir_grep: " .. tostring(problem))
    if found and found > 0 then vim.cmd "copen" end
  end)
end, { nargs = "+", complete = "dir", desc = "search a tree while the editor goes on" })
