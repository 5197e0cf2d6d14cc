-- SPDX-License-Identifier: ISC
--
-- SIGINT, sent to a process of its own. Its stdin stays open and gives nothing.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local folder = require "support.folder"

local interpreter = os.getenv "WEIR_LUA"

local function file_of(text)
  local name = os.tmpname()
  local file = assert(io.open(name, "w"))
  file:write(text)
  file:close()
  return name
end

local PRELUDE = [[
io.stdout:setvbuf "no"
local thread = require "weir.thread"
print("exit " .. thread.run(arg[1]))
]]

-- Runs the program; sends SIGINT when it has printed a line that matches `mark`, and again
-- and again until it is gone after the line "busy". The last line says how it ended: 124,
-- if it hung.
local function run(program, mark)
  local prelude, name, input = file_of(PRELUDE), file_of(program), os.tmpname()
  os.remove(input)
  local script = file_of(([[
    mkfifo %s
    exec 3<>%s
    { timeout %d sh -c 'echo $$; exec %s %s %s' <&3 2>&1; echo "ended $?"; } | {
      read -r pid
      while read -r line; do
        echo "$line"
        case $line in
        %s) kill -INT $pid ;;
        busy) while kill -INT $pid 2>/dev/null; do :; done ;;
        esac
      done
    }]]):format(input, input, folder.seconds, interpreter, prelude, name, mark))
  local pipe = io.popen("bash " .. script)
  local output = pipe:read("*a")
  pipe:close()
  for _, each in ipairs { prelude, name, input, script } do os.remove(each) end
  return output
end

describe("^c", function()
  it("documented example 10: is the signal `interrupted`, also while a thread reads", function()
    assert.are.equal("main program\ninput: cleaning up resources\nexit 0\nended 0\n", run([[
      local thread = require("thread")
      local event = require("event")
      local cleanup_thread = thread.create(function()
        event.pull("interrupted")
        print("cleaning up resources")
      end)
      local main_thread = thread.create(function()
        print("main program")
        while true do
          io.write("input: ")
          io.read()
        end
      end)
      thread.waitForAny({cleanup_thread, main_thread})
      os.exit(0) -- closes all remaining threads
    ]], '"main program"'))
  end)

  it("carries the time, and may come any number of times", function()
    assert.are.equal("ready\ninterrupted number\nready\ninterrupted number\nexit 3\nended 0\n", run([[
      local event = require "event"
      for _ = 1, 2 do
        print "ready"
        local name, time = event.pull()
        print(name .. " " .. type(time))
      end
      os.exit(3)
    ]], "ready"))
  end)

  it("ends a program that does not look any more", function()
    assert.are.equal("busy\nended 130\n", run('print "busy" while true do end', "none"))
  end)
end)
