-- SPDX-License-Identifier: ISC
--
-- pledge: what a worker may give up, and what it cannot get back.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local folder = require "support.folder"
local worker = require "weir.worker"

local script = folder.script

after_each(folder.clean)

-- What the script sends, as a list; its error, if it has one, comes last.
local function run(text, ...)
  local w, list, n = worker.create(script(text), ...), {}, 0
  repeat
    local ok, v = pcall(worker.receive, w)
    n = n + 1
    list[n] = v
  until not ok or worker.status(w) == "dead" and v == nil
  return list
end

-- The script's expression, after a pledge.
local function after(pledge, expression, ...)
  return run(([[
    local args = { ... }
    %s
    worker.message((function() %s end)())]]):format(pledge, expression), ...)
end

describe("pledge", function()
  -- "`pledge` returns one boolean per argument. Invalid names raise."
  it("returns a boolean for each", function()
    assert.are.same({ true, true, true, 3 }, run [[
      local function f(...)
        for i = 1, select("#", ...) do worker.message((select(i, ...))) end
        return select("#", ...)
      end
      worker.message(f(pledge("load", "~exec", "env=HOME")))]])
    for _, bad in ipairs { "", "x", "fs:", "fs:reads", "load=x", "fs:read=", "~", "~seal", "network:ftp", "FS",
      "fs:read:x" } do
      assert.matches(('pledge: argument 2 must be a permission, got "%s"'):format(bad),
        after("", "return select(2, pcall(pledge, 'load', args[1]))", bad)[1])
    end
    assert.matches("got number", after("", "return select(2, pcall(pledge, 1))")[1])
    assert.matches("zero byte", after("", "return select(2, pcall(pledge, 'load\\0'))")[1])
    -- nothing of a call that raises holds
    assert.are.same({ true }, after("pcall(pledge, '~exec', 'x')", "return (pledge 'exec')"))
  end)

  -- "`all` cannot be asked for from a script."
  it("does not give all", function()
    assert.matches("a script cannot ask for it", after("", "return select(2, pcall(pledge, 'all'))")[1])
    assert.are.same({ true }, after("", "return (pledge '~all')"))
    assert.are.same({ false }, after("pledge '~all'", "return (pledge 'load')"))
  end)

  -- "Names are hierarchical"; "`~name` rejects for good"; "never widened"
  it("only takes away", function()
    local try = "return (pledge(args[1]))"
    for _, case in ipairs {
      { "pledge '~exec'", "exec", false }, { "pledge '~exec'", "fs", true },
      { "pledge '~fs'", "fs:read", false },
      { "pledge '~fs:read'", "fs:write", true },
      { "pledge '~fs:read'", "fs", false }, { "pledge 'load'", "exec", false },
      { "pledge('load', 'exec')", "exec", true }, { "pledge 'fs'", "fs:read", true },
      { "pledge 'fs:read=/tmp/*'", "fs:read", false },
      { "pledge 'fs:read=/tmp/*'", "fs:read=/tmp/x", true },
      { "pledge 'fs:read=/tmp/*'", "fs:read=/etc/*", false },
      { "pledge 'load' pledge 'exec'", "load", false },
      { "", "network", true },
      { "", "network:tcp", false },
      { "pledge '~network:tcp'", "network", false },
      { "pledge 'env=A*'", "env=AB", true }, { "pledge 'env=A*'", "env", false },
      { "pledge '~env=A*'", "env=A", false }, { "pledge '~env=A*'", "env=B", true },
    } do
      assert.are.same({ case[3] }, after(case[1], try, case[2]), case[1] .. " " .. case[2])
    end
  end)

  -- "`seal` freezes"
  it("stays when it is sealed", function()
    local sealed = "pledge('load', 'exec', 'seal')"
    assert.are.same({ false }, after(sealed, "return (pledge 'load')"))
    assert.are.same({ false }, after(sealed, "return (pledge '~exec')"))
    assert.are.same({ true }, after(sealed, "return os.execute('true') and true"))
    assert.are.same({ true }, after(sealed .. " pledge '~exec'", "return os.execute('true') and true"))
  end)

  -- "A coroutine gets an independent copy" there; here the state has one set
  it("holds for all coroutines", function()
    assert.matches("denied", after("coroutine.wrap(function() pledge '~exec' end)()",
      "return select(2, pcall(os.execute, 'true'))")[1])
  end)

  -- "A worker gets a copy of its creator's set"; "a child never has more than its parent; a
  -- child may drop some"
  it("is inherited", function()
    local child = script [[
      worker.message(select(2, pcall(os.execute, "true")))
      worker.message((pledge "exec"))
      worker.message((pledge "~env"))
      worker.message(select(2, pcall(os.getenv, "HOME")))]]
    local list = run([[
      pledge "~exec"
      local w = worker.create(...)
      for _ = 1, 4 do worker.message(worker.receive(w)) end
      worker.message(type(os.getenv("PATH")))]], child)
    assert.matches('os.execute: permission "exec" denied', list[1])
    assert.is_false(list[2])
    assert.is_true(list[3])
    assert.matches('os.getenv: permission "env" denied for HOME', list[4])
    assert.are.equal("string", list[5])
  end)

  -- "missing permission (`fs:read` for that path is checked first, then `load`)"
  it("is asked by create", function()
    local child = script ""
    local try = "return select(2, pcall(worker.create, args[1]))"
    assert.matches('worker.create: permission "fs:read" denied for ' .. child, after("pledge '~all'", try, child)[1])
    assert.matches('worker.create: permission "load" denied', after("pledge 'fs:read'", try, child)[1])
    assert.matches('worker.create: permission "load" denied', after("pledge('fs:read=' .. args[1])", try, child)[1])
  end)

  it("works in the parent, for good", function()
    local output = folder.run([[
      local worker, weir = require "weir.worker", require "weir"
      local open, popen = io.open, io.popen
      print(worker.pledge("load", "stdio", "fs:read=" .. "./*"))
      print(open("main.lua", "r") ~= nil, pcall(open, "/etc/passwd"))
      print(pcall(popen, "true"))
      print(pcall(open, "main.lua", "w"))
      print(pcall(weir.pool, { threads = 1 }))
      print(worker.receive(worker.create("child.lua")))
    ]], { ["child.lua"] = [[worker.message(select(2, pcall(io.open, "/etc/passwd")))]] })
    output = output:gsub("main.lua:%d+: ", ""):gsub("%S*/weir/opening.lua:%d+: ", "")
    assert.are.equal(table.concat({
      "true\ttrue\ttrue",
      'true\tfalse\tio.open: permission "fs:read" denied for /etc/passwd',
      'false\tio.popen: permission "exec" denied',
      'false\tio.open: permission "fs:write" denied for main.lua',
      'false\tweir.pool: permission "all" denied',
      'io.open: permission "fs:read" denied for /etc/passwd',
      "exit 0\n" }, "\n"), output)
  end)

  it("leaves the library as it is until then", function()
    local output = folder.run [[
      local before = { pcall(io.lines, "/nowhere") }
      local errors = { select(2, pcall(io.open)), select(2, pcall(dofile, {})), select(2, pcall(require, "no.such")) }
      require "weir.worker"
      local after = { pcall(io.lines, "/nowhere") }
      local same = { select(2, pcall(io.open)), select(2, pcall(dofile, {})), select(2, pcall(require, "no.such")) }
      for i = 1, 3 do print(errors[i] == same[i]) end
      print(before[2] == after[2])
      local file = assert(io.open "main.lua")
      print(#file:read "*a" > 10, file:close())
      for line in io.lines "main.lua" do print(line) break end
      print(pcall(string.rep), (function() return (loadstring or load)("return 1 + 1")() end)())
    ]]
    assert.are.equal(4, select(2, output:gsub("true\n", "true\n")) - 1)
    assert.matches("exit 0\n$", output)
  end)
end)

describe("paths", function()
  local place

  before_each(function()
    place = os.tmpname()
    os.remove(place)
    os.execute(("mkdir -p %s/in/deep %s/out && echo inside > %s/in/file && echo outside > %s/out/file"):format(
      place, place, place, place))
    os.execute(("ln -s %s/out/file %s/in/link && ln -s %s/out %s/in/folder && ln -s %s/out/new %s/in/dangling"):format(
      place, place, place, place, place, place))
  end)
  after_each(function() os.execute("rm -r " .. place) end)

  -- "A value restricts (`fs:read=/dir/*`, globs on canonical paths)"
  it("are compared without links and dots", function()
    local function reads(path)
      return after("pledge('fs:read=' .. args[1] .. '/in/*')", [[
        local ok, file = pcall(io.open, args[1] .. args[2])
        if not ok then return file:match "denied" end
        return file and file:read "*l" or "none"]], place, path)[1]
    end
    assert.are.equal("inside", reads "/in/file")
    assert.are.equal("inside", reads "/in/deep/../file")
    assert.are.equal("inside", reads "//in/./file")
    assert.are.equal("none", reads "/in/not there")
    for _, outside in ipairs { "/out/file", "/in/../out/file", "/in/link", "/in/folder/file", "/in/dangling", "/in",
      "/in/no/such/../../../out/file" } do
      assert.are.equal("denied", reads(outside), outside)
    end
  end)

  it("are compared where files are made", function()
    local function writes(path)
      return after("pledge('fs:write=' .. args[1] .. '/in/*')", [[
        local ok, file = pcall(io.open, args[1] .. args[2], "w")
        if not ok then return file:match "denied" end
        return file:write "x" and "written"]], place, path)[1]
    end
    assert.are.equal("written", writes "/in/new")
    assert.are.equal("written", writes "/in/file")
    for _, outside in ipairs { "/out/new", "/in/dangling", "/in/link", "/in/../out/new", "/in/folder/new", "/in/.." } do
      assert.are.equal("denied", writes(outside), outside)
    end
    local file = io.open(place .. "/out/new")
    assert.is_nil(file)
  end)

  it("may be relative", function()
    assert.are.equal("true\nfalse\nexit 0\n", folder.run([[
      local w = require("weir.worker").create "child.lua"
      print(require("weir.worker").receive(w))
      print(require("weir.worker").receive(w))]], { ["child.lua"] = [[
        pledge("load", "fs:read=*.lua")
        worker.message((pcall(dofile, "other.lua")))
        worker.message((pcall(dofile, "other.txt")))]], ["other.lua"] = "", ["other.txt"] = "" }))
  end)
end)

-- Each is a known way out of a sandbox: it must raise, or return nothing but an error. They
-- run after taking references, as code would that means harm.
local escapes = {
  ["load of bytecode"] = "return load(string.dump(function() return 'out' end), 'x', 'b')()",
  ["load of bytecode without a mode"] = "return load(string.dump(function() return 'out' end))()",
  ["loadstring of bytecode"] = "return loadstring(string.dump(function() return 'out' end))()",
  ["load of bytecode in pieces"] = [[
    local code, i = string.dump(function() return 'out' end), 0
    return load(function() i = i + 1 if i <= #code then return code:sub(i, i) end end)()]],
  ["load of bytecode after a BOM"] = "return load('\\239\\187\\191' .. string.dump(function() return 'out' end))()",
  ["load of bytecode after a comment"] = "return load('# x\\n' .. string.dump(function() return 'out' end))()",
  ["a file of bytecode"] = "return loadfile(args.bytecode)()",
  ["dofile of bytecode"] = "return dofile(args.bytecode)",
  ["a module of bytecode"] = "package.path = args.bytecode return require 'bytecode'",
  ["a worker of bytecode"] = "return (worker.receive(worker.create(args.sender)))",
  ["debug.getregistry"] = "return debug.getregistry()",
  ["debug.getinfo"] = "return debug.getinfo(1, 'f').func",
  ["debug.sethook"] = "return debug.sethook(function() end, 'c') or 'out'",
  ["debug.getupvalue of a guard"] = "return debug.getupvalue(taken.open, 1) or 'out'",
  ["debug.setmetatable"] = "return debug.setmetatable(1, {})",
  ["debug by require"] = "return require('debug').getregistry()",
  ["the metatable of strings"] = [[
    getmetatable('').__index = function(_, name) return name == 'find' and function() return 1 end end
    return io.open('/etc/passwd')]],
  ["replaced string functions"] = [[
    string.match, string.find, string.sub = function() return '' end, function() return 1 end, function() return '' end
    return io.open('/etc/passwd')]],
  ["a C module"] = "return require 'lfs'",
  ["a C module by cpath"] = "package.cpath = args.core return require 'core'",
  ["the searcher for C modules"] = [[
    package.cpath = args.core
    local found = (package.searchers or package.loaders)[3]('core')
    return type(found) == 'function' and 'out' or nil]],
  ["the searcher for C submodules"] = [[
    package.cpath = args.core
    local found = (package.searchers or package.loaders)[4]('core.x')
    return type(found) == 'function' and 'out' or nil]],
  ["searchers of one's own"] = [[
    table.insert(package.searchers or package.loaders, 1, function(name)
      return package.loadlib(args.core, 'luaopen_' .. name:gsub('%.', '_'))
    end)
    return require 'weir.core']],
  ["package.preload"] = "package.preload.x = package.loadlib(args.core, 'luaopen_weir_core') return require 'x'",
  ["package.loadlib"] = "return package.loadlib(args.core, 'luaopen_weir_core')",
  ["package.loadlib of all symbols"] = "return package.loadlib('libc.so.6', '*')",
  ["package.searchpath"] = "return package.searchpath('passwd', '/etc/?')",
  ["a Lua module elsewhere"] = "package.path = '/etc/?' return require 'passwd'",
  ["io.popen"] = "return io.popen('true')",
  ["io.popen, taken before"] = "return taken.popen('true')",
  ["os.execute"] = "return os.execute('true')",
  ["os.execute without a command"] = "return os.execute()",
  ["os.rename"] = "return os.rename(args.inside, args.outside)",
  ["os.rename, inwards"] = "return os.rename('/etc/hostname', args.inside)",
  ["os.remove"] = "return os.remove(args.outside)",
  ["os.tmpname"] = "return os.tmpname()",
  ["io.tmpfile"] = "return io.tmpfile()",
  ["io.open"] = "return io.open('/etc/passwd')",
  ["io.open, taken before"] = "return taken.open('/etc/passwd')",
  ["io.open for appending"] = "return io.open(args.inside, 'a')",
  ["io.open for update"] = "return io.open(args.inside, 'r+')",
  ["io.open of a path with a zero byte"] = "return io.open('/etc/passwd\\0' .. args.inside)",
  ["io.open of an object that changes"] = [[
    local calls = 0
    local path = setmetatable({}, { __tostring = function()
      calls = calls + 1
      return calls == 1 and args.inside or '/etc/passwd'
    end })
    return io.open(path)]],
  ["io.lines"] = "return io.lines('/etc/passwd')()",
  ["io.input"] = "return io.input('/etc/passwd')",
  ["io.output"] = "return io.output(args.outside)",
  ["dofile"] = "return dofile('/etc/passwd') or 'out'",
  ["dofile of a symbolic link"] = "return dofile(args.link)",
  ["loadfile"] = "return loadfile('/etc/passwd')",
  ["a symbolic link"] = "return io.open(args.link)",
  ["dots in a path"] = "return io.open(args.folder .. '/../../etc/passwd')",
  ["/proc"] = "return io.open('/proc/self/environ')",
  ["os.getenv"] = "return os.getenv('PATH')",
  ["a coroutine"] = "return coroutine.wrap(function() return io.open('/etc/passwd') end)()",
  ["a coroutine, made before"] = "return taken.co()",
  ["a coroutine that pledges"] = "return coroutine.wrap(function() pledge('fs') return io.open('/etc/passwd') end)()",
  ["pcall and error"] = "return select(2, pcall(error, io)).open('/etc/passwd')",
  ["a finalizer"] = [[
    local seen
    local object = newproxy and newproxy(true) or setmetatable({}, { __gc = true })
    getmetatable(object).__gc = function() seen = io.open('/etc/passwd') end
    object = nil
    collectgarbage() collectgarbage()
    return seen]],
  ["getfenv of a C function"] = "return getfenv(io.open).io.popen('true')",
  ["setfenv of a C function"] = "return setfenv(io.open, {})",
  ["newproxy"] = "return getmetatable(newproxy(true)).__index.popen('true')",
  ["ffi"] = "return require 'ffi'",
  ["ffi by preload"] = "return package.preload.ffi()",
  ["jit.util"] = "return require('jit.util').funcinfo(print)",
  ["jit.attach"] = "return jit.attach(function() end, 'bc') or 'out'",
  ["pledge"] = "return pledge('exec') and os.execute('true')",
  ["a pledge of all"] = "return pledge('all') and io.open('/etc/passwd')",
  ["a worker"] = "return worker.create('/etc/passwd')",
  ["a worker with more rights"] = [[
    return worker.receive(worker.create(args.child))]],
  ["a pool"] = "return require('weir').pool { threads = 1 }",
  ["a pool's init"] = [[
    return require('weir').pool { threads = 1, init = function() return io.open('/etc/passwd') end }]],
  ["run_in_main"] = "return require('weir').run_in_main(io.open, '/etc/passwd')",
  ["the core's own functions"] = "return require('weir.core').append(args.outside, 'x')",
  ["signals by the core"] = "return require('weir.core').catch(2)",
  ["os.exit"] = "os.exit(0)",
}

describe("escapes from a pledge are refused:", function()
  local place, args

  before_each(function()
    place = os.tmpname()
    os.remove(place)
    os.execute(("mkdir -p %s/in && echo 'return 1' > %s/in/inside && ln -s /etc/passwd %s/in/link"):format(
      place, place, place))
    local file = io.open(place .. "/in/bytecode", "wb")
    file:write(string.dump(function() return "out" end))
    file:close()
    file = io.open(place .. "/in/sender", "wb")
    file:write(string.dump((loadstring or load) "worker.message 'out'"))
    file:close()
    file = io.open(place .. "/in/child.lua", "w")
    file:write "local ok, file = pcall(io.open, '/etc/passwd') worker.message(ok and file and 'out' or nil)"
    file:close()
    args = { folder = place .. "/in", inside = place .. "/in/inside", link = place .. "/in/link",
      outside = place .. "/outside", bytecode = place .. "/in/bytecode", child = place .. "/in/child.lua",
      sender = place .. "/in/sender",
      core = assert(package.cpath:match "[^;]*/lua/lua[^;]*%?%.so"):gsub("%?", "weir/core") }
  end)
  after_each(function() os.execute("rm -r " .. place) end)

  local TRY = [[
    local args = ...
    local taken = { open = io.open, popen = io.popen }
    taken.co = coroutine.wrap(function() return io.open('/etc/passwd') end)
    -- what weir is made of can be read, so that it is not the reading that fails
    local weir_files = {}
    for at in package.path:gmatch("([^;]*bindings/lua)/%%?") do
      weir_files[#weir_files + 1] = "fs:read=" .. at .. "/*"
    end
    pledge("load", "fs:read=" .. args.folder .. "/*", (table.unpack or unpack)(weir_files))
    local result = { pcall(function() %s end) }
    worker.message(result[1])
    worker.message(result[2] ~= nil and tostring(result[2]) or nil)
  ]]

  for name, text in pairs(escapes) do
    it(name, function()
      local w = worker.create(script(TRY:format(text:gsub("%%", "%%%%"))), args)
      local ok, value = worker.receive(w), worker.receive(w)
      assert.is_true(ok == false or value == nil or value == "false", name .. " gave " .. tostring(value))
      assert.is_not_nil(ok) -- it ran
      assert.are.equal("dead", (worker.receive(w) == nil and worker.status(w)))
    end)
  end

  it("and what was pledged is there", function()
    local list = run([[
      local args = ...
      pledge("load", "env=PATH", "fs:read=" .. args.folder .. "/*")
      worker.message(dofile(args.inside))
      worker.message(load("return 2")())
      worker.message(io.open(args.inside):read("*l"))
      worker.message(type(os.getenv "PATH"))
      package.path = args.folder .. "/?"
      worker.message(require "inside")
      worker.message(type(debug.traceback()))
      for line in io.lines(args.inside) do worker.message(line) end
      local env = { x = 5 }
      worker.message((load or loadstring)(function(s) return nil end) ~= nil)
      worker.message(setfenv and 5 or load("return x", "c", "bt", env)())
      worker.message(setfenv and 5 or loadfile(args.inside, "bt", env)() + 4)
    ]], args)
    assert.are.same({ 1, 2, "return 1", "string", 1, "string", "return 1", true, 5, 5 }, list)
  end)
end)

describe("a restricted state", function()
  local jit_it = jit and it or pending

  -- "package.preload['weir.core']" gave shared values, and finalizers that took any argument
  it("reaches nothing that states share", function()
    for _, module in ipairs { "weir.core", "weir.lus.core" } do
      local list = after("local load = package.preload[args[1]] pledge('~all', 'seal')",
        "return tostring(select(2, pcall(load)))", module)
      assert.matches('permission "all" denied', list[1])
    end
  end)


  it("is refused where foreign code was loaded, unless somebody vouches for it", function()
    local path
    for template in package.cpath:gmatch "[^;]+" do
      local name = template:gsub("%?", "weir/core")
      local file = not path and io.open(name)
      if file then path = name file:close() end
    end
    local foreign = "assert(package.loadlib(args[1], 'luaopen_weir_core'))"
    assert.matches("pledge: module \".*core.so\" is foreign code",
      after("", "return select(2, pcall(function() " .. foreign .. " pledge 'load' end))", path)[1])
    assert.are.same({ true }, after(foreign, "return (pledge('vouch=' .. args[1], 'load'))", path))
    assert.are.same({ true }, after("pcall(require, 'none.such')", "return (pledge 'load')"))
    assert.matches("must be a permission", after("", "return select(2, pcall(pledge, 'vouch'))")[1])
  end)

  jit_it("finds no FFI behind a literal", function()
    local list = after("pledge('load', 'seal')",
      "local x = loadstring 'return 1LL'() return tostring(package.loaded.ffi) .. type(x)")
    assert.are.equal("nilcdata", list[1])
    for _, name in ipairs { "ffi", "string.buffer", "jit.util" } do
      assert.matches('permission "all" denied',
        after("pledge('load', 'seal')", "return tostring(select(2, pcall(require, args[1])))", name)[1])
      assert.matches(('module "%s" is foreign code'):format(name),
        after("require(args[1]) package.loaded[args[1]] = nil", "return select(2, pcall(pledge, 'load'))", name)[1])
    end
    assert.matches('module "ffi" is foreign code',
      after("local x = loadstring 'return 1LL'()", "return select(2, pcall(pledge, 'load'))")[1])
    assert.matches('module "ffi" is foreign code',
      after("local x = loadstring 'return 1LL'() package.loaded.ffi = nil",
        "return select(2, pcall(pledge, 'load'))")[1])
    assert.are.same({ true }, after("require 'ffi'", "return (pledge('vouch=ffi', 'load'))"))
  end)

  it("removes and renames links, not what they lead to", function()
    local base = os.tmpname()
    os.execute(("rm '%s' && mkdir '%s'"):format(base, base))
    os.execute(("cd '%s' && echo kept >file && ln -s file link && ln -s file link2"):format(base))
    assert.are.same({ true, true }, run([[
      local base = ...
      pledge("load", "fs=" .. base .. "/*")
      worker.message((os.remove(base .. "/link")))
      worker.message((os.rename(base .. "/link2", base .. "/moved")))]], base))
    local file = assert(io.open(base .. "/file"))
    assert.are.equal("kept", file:read "*l")
    file:close()
    assert.is_nil(io.open(base .. "/link"))
    file = assert(io.open(base .. "/moved"))
    assert.are.equal("kept", file:read "*l")
    file:close()
    os.execute(("rm -r '%s'"):format(base))
  end)
end)

describe("finalizers", function()
  it("refuse what is not of their class", function()
    local core, checked = require "weir.core", 0
    for name, class in pairs(core) do
      local gc = type(class) == "table" and rawget(class, "__gc")
      if gc then
        checked = checked + 1
        for _, wrong in ipairs { false, 1, {}, io.stdout, coroutine.create(function() end) } do
          assert.is_false((pcall(gc, wrong)), name)
        end
        assert.is_false((pcall(gc)), name)
      end
    end
    assert.is_true(checked >= 6, checked)
  end)
end)
