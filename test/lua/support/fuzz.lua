-- SPDX-License-Identifier: ISC
--
-- fuzz.lua: a worker's script that calls every C function that it can reach, after a pledge, with
-- everything that it can reach. Arguments: seed, calls, a folder that it may use, a path that it
-- may not, names of functions to leave alone, whether weir is loaded and used first.
--
-- It sends the seed when it is done, or a string when it got what lies at that path.

local seed, calls, folder, secret, skipped, with_weir = ...
local objects = {} -- what a state may have kept from before its pledge

if with_weir then
  local weir, core = require "weir", require "weir.core"
  require "weir.lus.actor"
  local pool, mutex = weir.pool { threads = 1, measure = true }, weir.mutex()
  mutex:lock()
  local function add(...) objects[#objects + 1] = ... end
  add(pool)
  add(mutex)
  add(core.list)
  add(core.slot())
  add(weir.pack(1, {}))
  add(weir.progress(function() end))
  add(core.owner_new "owner")
  for _, f in ipairs { function() return 1, {} end, function() error "failed" end,
    function() return require("weir").run_in_main(function() return 2 end) end,
    function(m) m:lock() m:unlock() end, function() end } do
    add((pool:run(f, mutex)))
    core.watch(objects[#objects])
  end
  add((pool:close_async()))
  local stays = _G.worker.create({ path = folder .. "/stays.lua", limit = 1 }, folder .. "/waits.lua")
  _G.worker.receive(stays)
  _G.worker.send(stays, 1)
  require("weir.lus.core").set_suspender(function(op)
    add(op)
    error("it waits", 0)
  end)
  pcall(coroutine.wrap(_G.worker.send), stays, {})
  add(stays)
end

-- Whatever the calls do to the library, this goes on.
local pcall, type, select, find, wrap, create = pcall, type, select, string.find, coroutine.wrap, coroutine.create
local worker, pledge = _G.worker, _G.pledge -- of a worker's state
local message, unpack, floor = worker.message, table.unpack or unpack, math.floor
local open, spawn, setmetatable = io.open, worker.create, setmetatable
local stdout, globals, concat, tostring = io.stdout, _G, table.concat, tostring
local wanted = "secret" .. "-value"

-- LuaJIT of 2022 writes past its stack: setmetatable({}, { __call = pcall }) called by pcall.
local has_pcall_bug = rawget(_G, "jit") ~= nil

local names, functions = {}, {}
for name, f in pairs(require "support.walk"()) do
  if not skipped[name] then names[#names + 1] = name functions[name] = f end
end
table.sort(names)

local state = seed % 2147483647 + 1
local function random(n)
  state = state * 48271 % 2147483647
  return floor(state / 2147483647 * n) + 1
end

pledge("load", "fs=" .. folder .. "/*")

local makers = {
  function() return nil end,
  function() return random(2) == 1 end,
  function() return ({ 0, 1, -1, 2, 3, 7, 255, 256, 1000, -1000, 0.5, -0.5, 0 / 0, 1 / 0, -1 / 0 })[random(15)] end,
  function()
    return ({ "", "x", "r", "w", "a+", "*a", "l", "n", "collect", "stop", "step", "k", "set", "no", "%d", "(a*)*b",
      "%b()", "[", "%", "\0", "aaaaaaaaaa", "return 1", "\27Lua", secret, folder .. "/file",
      folder .. "/../file", "/proc/self/mem",
      "string", "weir.core", "ffi", "now", "load", "seal" })[random(33)]
  end,
  function() return {} end,
  function() return { 1, 2, 3, x = {} } end,
  function()
    local f, g = functions[names[random(#names)]], functions[names[random(#names)]]
    if has_pcall_bug and g == pcall then g = type end
    return setmetatable({}, { __index = f, __call = g })
  end,
  function() return functions[names[random(#names)]] end,
  function() return functions[names[random(#names)]] end,
  function() return function(...) return ... end end,
  function() return create(function(...) return ... end) end,
  function() return stdout end,
  function() return #objects > 0 and objects[random(#objects)] or nil end,
  function() return (open(folder .. "/file", "a+")) end,
  function() local ok, w = pcall(spawn, folder .. "/child.lua", 1) return ok and w or nil end,
  function() return globals[({ "string", "io", "os", "table", "package", "worker", "coroutine", "_G" })[random(8)]] end,
}

local kept = {}
local function value()
  if random(3) == 1 and #kept > 0 then return kept[random(#kept)] end
  return (makers[random(#makers)]())
end

-- Whether the secret is in it, not deeper than two tables.
local function has(v, depth)
  if type(v) == "string" then return find(v, wanted, 1, true) ~= nil end
  if type(v) == "table" and depth < 2 then
    for _, part in next, v do if has(part, depth + 1) then return true end end
  end
  return false
end

local function keep(ok, ...)
  if not ok then return end
  for i = 1, select("#", ...) do
    local v = select(i, ...)
    if has(v, 0) then message("got out: " .. concat({ tostring(seed) })) end
    -- a pattern on a long string takes for ever, and no limit sees it
    if v ~= nil and not (type(v) == "string" and #v > 2000) then kept[#kept % 200 + 1] = v end
  end
end

for _ = 1, calls do
  local f, n, arguments = functions[names[random(#names)]], random(5) - 1, {}
  for i = 1, n do arguments[i] = value() end
  pcall(wrap(function() keep(pcall(f, unpack(arguments, 1, n))) end))
end
message(seed)
