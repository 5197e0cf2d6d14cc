-- SPDX-License-Identifier: ISC
--
-- test_worker_documents.lua: the examples of "Acquis 11 - Workers", verbatim but for what plain
-- Lua cannot parse (`while result = …`, `catch`) and the first line of main programs; and
-- what examples/lua/worker prints.

local folder = require "support.folder"
local output = require "support.output"

local HEAD = 'local worker = require "weir.worker"\n'

describe("the document's example of", function()
  it("create, with and without arguments", function()
    assert.are.equal("0\n2\ttable\t1\tfoobar\nexit 0\n", folder.run(HEAD .. [[
      local p = worker.create("script.lus")

      -- Worker with arguments.
      local w = worker.create("script.lus", { a = 1 }, "foobar")

      print(worker.receive(p))
      print(worker.receive(w))]], { ["script.lus"] = [[
global worker

local a, b = ...
local line = { select("#", ...), a and type(a), a and a.a, b }
for i = 1, #line do line[i] = tostring(line[i]) end
worker.message(table.concat(line, "\t"))]] }))
  end)

  it("message and receive", function()
    local expected = "Got result:\tProcess started\n"
    for i = 1, 10 do expected = expected .. "Got result:\t" .. i .. "\n" end
    assert.are.equal(expected .. "exit 0\n", folder.run(HEAD .. [[
      local p = worker.create("script.lus")

      -- Blocks until a message is available or the worker dies
      local result = worker.receive(p)
      while result do
        print("Got result:", result)
        result = worker.receive(p)
      end]], { ["script.lus"] = [[
global worker

-- Send data back to parent
worker.message("Process started")
for i = 1, 10 do
  worker.message(i)
end]] }))
  end)

  it("select-like behavior", function()
    local text = folder.run(HEAD .. [[
      local p1 = worker.create("slow_task.lus")
      local p2 = worker.create("fast_task.lus")

      while true do
        -- Block until either p1 OR p2 sends a message
        local res1, res2 = worker.receive(p1, p2)

        if res1 then
          print("p1 says:", res1)
        end

        if res2 then
          print("p2 says:", res2)
          if res2 == 2 then worker.send(p1, "go") end
        end

        -- Break if both workers are dead and empty
        if worker.status(p1) == "dead" and worker.status(p2) == "dead"
           and not res1 and not res2 then
           break
        end
      end]], { ["slow_task.lus"] = "global worker\nworker.peek()\nworker.message('done')",
      ["fast_task.lus"] = "global worker\nworker.message(1)\nworker.message(2)" })
    assert.are.equal("p2 says:\t1\np2 says:\t2\np1 says:\tdone\nexit 0\n", text)
  end)

  it("send and peek", function()
    assert.are.equal("Starting...\ndata\t1\t2\t3\nexit 0\n", folder.run(HEAD .. [[
      local w = worker.create("processor.lus")

      -- Send instructions to the running worker
      worker.send(w, "START")
      worker.send(w, { data = {1, 2, 3} })
      worker.send(w, "STOP")
      worker.receive(w)]], { ["processor.lus"] = [[
global worker
function process_data(data) print("data", (table.unpack or unpack)(data)) io.stdout:flush() end

while true do
  -- worker.peek() blocks until the parent sends a message
  local msg = worker.peek()

  if msg == "START" then
    print("Starting...")
  elseif type(msg) == "table" then
    process_data(msg.data)
  elseif msg == "STOP" then
    break
  end
end]] }))
  end)

  -- `while err, result = catch worker.receive(p) do if err then …`: what it means, see the
  -- row "Error-handling loop" of the description
  it("error handling", function()
    assert.are.equal("result\t1\nresult\t2\nWorker crashed:\tscript.lus:4: out of luck\nexit 0\n", folder.run(HEAD .. [[
      local p = worker.create("script.lus")
      while true do
        local ok, result = pcall(worker.receive, p)
        if not ok then
          print("Worker crashed:", result)
          break
        end
        -- process result
        print("result", result)
      end]], { ["script.lus"] = "global worker\nworker.message(1)\nworker.message(2)\nerror('out of luck')" }))
  end)

  it("pledge in the worker state", function()
    assert.are.equal("true\nfalse\nexit 0\n", folder.run(HEAD .. [[
      local p = worker.create("script.lus")
      print(worker.receive(p))
      print(worker.receive(p))]], { ["script.lus"] = [[
global worker, pledge
worker.message((pledge("~exec")))
worker.message((pcall(os.execute, "true")))]] }))
  end)
end)

describe("the example", function()
  for _, name in ipairs { "first", "many", "sandbox" } do
    it(name .. ".lua prints what stands in expected/" .. name .. ".txt", function()
      local file = assert(io.open("examples/lua/worker/expected/" .. name .. ".txt"))
      local expected = file:read "*a"
      file:close()
      local text, status = output.of_file("examples/lua/worker/" .. name .. ".lua")
      assert.are.equal(expected, text)
      assert.are.equal(0, status)
    end)
  end
end)
