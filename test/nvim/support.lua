-- SPDX-License-Identifier: ISC
--
-- support.lua: tests inside an editor without a screen. Each file of tests gives a list of
-- {name, function}; this runs them and ends the editor.

local support = {}

local passed, failed = 0, 0

local function say(...) io.stdout:write(string.format(...), "\n") end

-- Turns the editor's loop until is_true(); the editor's own watchdog is `timeout`.
function support.until_true(is_true)
  while not vim.wait(1000, is_true, 1) do end
end

function support.same(expected, got)
  if vim.deep_equal(expected, got) then return end
  error(("expected %s, got %s"):format(vim.inspect(expected), vim.inspect(got)), 2)
end

-- A folder with files, by name.
function support.folder(files)
  local folder = vim.fn.tempname()
  for name, text in pairs(files) do
    vim.fn.mkdir(vim.fn.fnamemodify(folder .. "/" .. name, ":h"), "p")
    local file = assert(io.open(folder .. "/" .. name, "w"))
    file:write(text)
    file:close()
  end
  return folder
end

-- Another editor that runs a program and ends by itself: its exit code and what it printed.
function support.editor(program)
  local file = support.folder { ["program.lua"] = program } .. "/program.lua"
  local command = { "timeout", "30", vim.v.progpath, "--headless", "--clean",
    "--cmd", "set runtimepath+=" .. vim.env.WEIR_RTP, "-S", file }
  local output = vim.fn.system(command)
  return vim.v.shell_error, output
end

function support.run(tests)
  for _, test in ipairs(tests) do
    local ok, problem = xpcall(test[2], debug.traceback)
    if ok then passed = passed + 1 else failed = failed + 1 end
    if not ok then say("FAILED: %s\n%s", test[1], problem) end
  end
  say("\n%d passed, %d failed", passed, failed) -- Neovim's own last message has no end of line
  vim.cmd(failed == 0 and "qall!" or "cquit")
end

return support
