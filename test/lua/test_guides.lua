-- SPDX-License-Identifier: ISC
--
-- test_guides.lua: what the examples that the guides quote print.

local output = require "support.output"

local EXAMPLES = {
  msys = { "first", "counter", "completion" },
  thread = { "first", "relay", "suspend" },
}

local slurp = output.slurp

for system, names in pairs(EXAMPLES) do
  local folder = "examples/lua/" .. system .. "/"
  describe("the example", function()
    for _, name in ipairs(names) do
      it(folder .. name .. ".lua prints what stands in expected/" .. name .. ".txt", function()
        local text, status = output.of_file(folder .. name .. ".lua")
        assert.are.equal(slurp(folder .. "expected/" .. name .. ".txt"), text)
        assert.are.equal(0, status)
      end)
    end
  end)
end
