-- SPDX-License-Identifier: ISC
--
-- pledge, attacked a second time: by ways that the tests of files, loading and finalizers do not
-- try. A script that may use one folder, and has read the source, tries to read what lies beside it,
-- to run bytecode, and to make its host load code.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local folder = require "support.folder"
local worker = require "weir.worker"

-- Sends the name of each way that led out, then "done". `base` has the file secret, the folder in,
-- and in there links to both.
local attack = [[
  local base = ...
  local inside, secret = base .. "/in", base .. "/secret"
  local say, create, open, load_text = worker.message, worker.create, io.open, loadstring or load
  local sub, pairs, pcall = string.sub, pairs, pcall
  local bytecode = string.dump(function() return "bytecode ran" end)
  local function write(name, text)
    local f = open(inside .. "/" .. name, "wb")
    f:write(text)
    f:close()
  end
  local function slurp(path)
    local f = open(path)
    return f and f:read "*a" == "secret-value"
  end
  write("code.lua", bytecode)
  write("line.lua", "#x\n" .. bytecode)
  write("mark.lua", "\239\187\191" .. bytecode)
  write("child.lua", "worker.message((pcall(io.open, '" .. secret .. "')), (pcall(io.popen, 'id')))")
  local suspended = coroutine.create(function() coroutine.yield() return slurp(secret) end)
  coroutine.resume(suspended)
  setmetatable({}, { __gc = function() if pcall(slurp, secret) and slurp(secret) then write("leak", "x") end end })

  pledge("load", "fs=" .. inside .. "/*")

  local function try(name, f, ...)
    local ok, got = pcall(f, ...)
    if ok and got then say(name) end
  end
  local function runs(f) return f and f() == "bytecode ran" end
  try("suspended", function() local ok, got = coroutine.resume(suspended) return ok and got end)
  for _, path in pairs { "/in/link", "/in/up/secret", "/in/../secret", "/in/up/in/up/secret" } do
    try("read " .. path, slurp, base .. path)
    try("append " .. path, open, base .. path, "a")
    try("worker " .. path, function() return worker.receive(create(base .. path)) end)
  end
  try("create by a link", open, inside .. "/up/new", "w")
  try("rename by a link", os.rename, inside .. "/code.lua", inside .. "/up/moved")
  try("remove by a link", os.remove, inside .. "/up/secret")
  try("whole", function() return runs((loadstring or load)(bytecode)) end)
  local at = 0
  try("pieces", function()
    return runs(load(function() at = at + 1 return at <= #bytecode and sub(bytecode, at, at) or nil end))
  end)
  for _, name in pairs { "code", "line", "mark" } do
    try("file " .. name, function() return runs(loadfile(inside .. "/" .. name .. ".lua")) end)
    try("dofile " .. name, function() return dofile(inside .. "/" .. name .. ".lua") == "bytecode ran" end)
    package.path = inside .. "/?.lua"
    try("require " .. name, function() return require(name) == "bytecode ran" end)
    try("script " .. name, function() return worker.receive(create(inside .. "/" .. name .. ".lua")) end)
  end
  local child = create(inside .. "/child.lua")
  try("child", function() return worker.receive(child) end)
  package.loaded["in.deputy"] = { x = {} }
  write("deputy.lua", "io.open('" .. inside .. "/leak', 'w'):close()")
  try("module", function() say(package.loaded["in.deputy"]) return false end)
  try("function", function() say(function() return io end) return true end)
  for name, f in pairs(os) do
    if name ~= "exit" and name ~= "clock" and name ~= "date" and name ~= "time" and name ~= "difftime"
      and name ~= "setlocale" then
      try("os." .. name, f, secret, secret .. "2")
    end
  end
  say "done"
]]

describe("a script with one folder", function()
  local base

  before_each(function()
    base = folder.script ""
    os.remove(base)
    local make = "mkdir -p %s/in && printf secret-value > %s/secret && ln -s .. %s/in/up"
      .. " && ln -s ../secret %s/in/link"
    os.execute((make:gsub("%%s", base)))
  end)
  after_each(function()
    os.execute("rm -r '" .. base .. "'")
    folder.clean()
  end)

  it("gets no further by any of these ways", function()
    local w, got = worker.create(folder.script(attack), base), {}
    repeat
      local v = worker.receive(w)
      if type(v) ~= "table" then got[#got + 1] = tostring(v) end -- the module's table came by copy
    until v == "done" or v == nil
    assert.are.equal("done", table.concat(got, ", "))
    worker.close(w)
    local file = assert(io.open(base .. "/secret"))
    assert.are.equal("secret-value", file:read "*a")
    file:close()
    assert.is_nil((io.open(base .. "/in/leak")))
  end)
end)
