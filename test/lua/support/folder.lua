-- SPDX-License-Identifier: ISC
--
-- folder.lua: programs that run apart from the tests, and scripts for workers.

local folder = {}

local interpreter = os.getenv "WEIR_LUA"

--- How long a program may take: some tools are slow.
folder.seconds = os.getenv "WEIR_LUA_VARIANT" == "" and 300 or 1200

--- What tells the tools before a command whether to look for leaks.
function folder.leaks(look)
  local options = 'ASAN_OPTIONS=detect_leaks=%d TSAN_OPTIONS="$TSAN_OPTIONS report_thread_leaks=%d" '
    .. 'VALGRIND_OPTS="$VALGRIND_OPTS --leak-check=%s"'
  local number = look and 1 or 0
  return options:format(number, number, look and "full" or "no")
end

local function write(name, text)
  local file = assert(io.open(name, "w"))
  file:write(text)
  file:close()
end

local scripts = {}

--- A file with the text; its name. It stays until folder.clean().
function folder.script(text)
  local name = os.tmpname()
  write(name, text)
  scripts[#scripts + 1] = name
  return name
end

function folder.clean()
  for _, name in ipairs(scripts) do os.remove(name) end
  scripts = {}
end

--- Runs text as a program, in a folder where `files` (name -> text) stand: its output,
-- both streams, and "exit N" as the last line. One that hangs is ended with 124.
-- What it leaves behind is nobody's concern: some end in the middle of anything.
function folder.run(text, files)
  local place = os.tmpname()
  os.remove(place)
  assert(os.execute("mkdir " .. place))
  write(place .. "/main.lua", text)
  for name, content in pairs(files or {}) do write(place .. "/" .. name, content) end
  local command = "cd %s && %s timeout %d %s main.lua 2>&1; echo exit $?"
  local pipe = io.popen(command:format(place, folder.leaks(false), folder.seconds, interpreter))
  local output = pipe:read("*a")
  pipe:close()
  os.execute("rm -r " .. place)
  return output
end

--- How many descriptors this process has open.
function folder.open_files()
  local pipe = io.popen "ls /proc/$PPID/fd | wc -l"
  local n = pipe:read "*n"
  pipe:close()
  return n
end

return folder
