-- SPDX-License-Identifier: ISC
--
-- test_thread_guide.lua: what examples/lua/thread prints.

local output = require "support.output"

local FOLDER = "examples/lua/thread/"

local function slurp(name)
  local file = assert(io.open(name))
  local text = file:read("*a")
  file:close()
  return text
end

describe("the example", function()
  for _, name in ipairs { "first", "relay", "suspend" } do
    it(name .. ".lua prints what stands in expected/" .. name .. ".txt", function()
      local text, status = output.of_file(FOLDER .. name .. ".lua")
      assert.are.equal(slurp(FOLDER .. "expected/" .. name .. ".txt"), text)
      assert.are.equal(0, status)
    end)
  end
end)
