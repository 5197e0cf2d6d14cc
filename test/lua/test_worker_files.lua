-- SPDX-License-Identifier: ISC
--
-- pledge, and files: a path is judged by what it is when it is used.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local folder = require "support.folder"
local worker = require "weir.worker"

local unpack = table.unpack or unpack -- luacheck: ignore

local base

local function shell(text) return os.execute("cd '" .. base .. "' && " .. text) end

local function content(name)
  local file = io.open(base .. "/" .. name)
  if not file then return nil end
  local text = file:read "*a"
  file:close()
  return text
end

before_each(function()
  base = folder.script ""
  os.remove(base)
  os.execute("mkdir '" .. base .. "'")
  shell "mkdir -p in/deep out && printf inside > in/file && printf outside > out/file"
end)
after_each(function()
  os.execute("rm -r '" .. base .. "'")
  folder.clean()
end)

local HELP = [[
  local base = ...
  local function try(f, ...)
    local ok, a, b = pcall(f, ...)
    if not ok then return a:find("denied", 1, true) and "denied" or a end
    return a or b
  end
  local function read(path)
    local file = try(io.open, path)
    return type(file) == "userdata" and file:read "*a" or file
  end
]]

-- What the script sends, as a list.
local function run(text)
  local w, list = worker.create(folder.script(HELP .. text), base), {}
  repeat
    local v = worker.receive(w)
    list[#list + 1] = v
  until v == nil
  return list
end

describe("a restricted path", function()
  it("is opened in each mode", function()
    assert.are.same({ "inside", "inside+", "new", "nw", "again", "more", "" }, run [[
      pledge("fs=" .. base .. "/in/*")
      worker.message(read(base .. "/in/file"))
      local file = io.open(base .. "/in/file", "a") file:write "+" file:close()
      worker.message(read(base .. "/in/file"))
      file = io.open(base .. "/in/new", "wb") file:write "new" file:close()
      worker.message(read(base .. "/in/deep/../new"))
      file = io.open(base .. "/in/new", "r+") file:write "nw" file:close()
      worker.message(io.open(base .. "/in/new", "rb"):read(2))
      file = io.open(base .. "/in/new", "w+") file:write "again" file:seek "set"
      worker.message(file:read "*a")
      file:close()
      file = io.open(base .. "/in/more", "a+b") file:write "more" file:seek "set"
      worker.message(file:read "*a")
      file:close()
      io.output(base .. "/in/more") io.close()
      worker.message(read(base .. "/in/more"))]])
  end)

  it("says what is wrong with it as always", function()
    local list = run [[
      pledge("fs=" .. base .. "/in/*")
      local function tell(...)
        local ok, a, b = pcall(...)
        worker.message(tostring(ok and b or a):gsub("^.-:%d+: ", ""))
      end
      tell(io.open, base .. "/in/none")
      tell(io.open, base .. "/in/none/none")
      tell(io.open, base .. "/in/file", "x")
      tell(io.open, base .. "/in/deep", "w")
      tell(io.lines, base .. "/in/none")
      tell(io.input, base .. "/in/none")
      tell(os.remove, base .. "/in/none")
      tell(os.rename, base .. "/in/none", base .. "/in/x")
      tell(dofile, base .. "/in/none")
      tell(loadfile, base .. "/in/none")]]
    local missing = base .. "/in/none: No such file or directory"
    assert.are.equal(missing, list[1])
    assert.matches('permission "fs:read" denied', list[2])
    assert.matches("invalid mode", list[3])
    assert.are.equal(base .. "/in/deep: Is a directory", list[4])
    assert.matches(missing, list[5], 1, true)
    assert.matches("No such file or directory", list[6], 1, true)
    assert.are.equal(missing, list[7])
    assert.matches("No such file or directory", list[8], 1, true)
    assert.matches('permission "load" denied', list[9])
    assert.matches('permission "load" denied', list[10])
  end)

  it("reads lines to the end of the file", function()
    shell "printf '1\\n2\\n3' > in/lines"
    assert.are.same({ "1", "2", "3", "denied", "denied" }, run [[
      pledge("fs:read=" .. base .. "/in/*")
      for line in io.lines(base .. "/in/lines") do worker.message(line) end
      worker.message(try(io.lines, base .. "/out/file"))
      worker.message(try(io.lines, base .. "/in/../out/file"))]])
  end)

  -- It was judged by its text, and opened afterwards: what a link led to changed meanwhile.
  it("is what it was judged to be, whoever changes it meanwhile", function()
    shell "ln -s file in/link"
    shell [[(while [ ! -e stop ]; do ln -sfn ../out/file in/link; ln -sfn file in/link; done
      : > over) >/dev/null 2>&1 &]]
    local w = worker.create(folder.script(HELP .. [[
      pledge("fs=" .. base .. "/in/*")
      local others = 0
      for _ = 1, 1500 do
        local text = read(base .. "/in/link")
        if text == "outside" then others = others + 1 end
        local file = try(io.open, base .. "/in/link", "a")
        if type(file) == "userdata" then file:close() end
      end
      worker.message(others)]]), base)
    assert.are.equal(0, worker.receive(w))
    shell ": > stop; while [ ! -e over ]; do :; done"
  end)

  it("is neither made nor emptied nor waited for before it was judged", function()
    shell "mkfifo out/fifo"
    assert.are.same({ "denied", "denied", "denied", "denied", "denied", "denied" }, run [[
      pledge("load", "fs=" .. base .. "/in/*")
      for _, mode in ipairs { "w", "a", "w+" } do worker.message(try(io.open, base .. "/out/new", mode)) end
      worker.message(try(io.open, base .. "/out/file", "w"))
      worker.message(try(io.open, base .. "/out/fifo"))
      worker.message(try(dofile, base .. "/out/fifo"))]])
    assert.is_nil(content "out/new")
    assert.are.equal("outside", content "out/file")
  end)

  it("has names that stand for themselves", function()
    shell "mkdir 'in/[d]eep' 'in/d?' in/dx && printf 1 > 'in/[d]eep/f' && printf 2 > in/deep/f"
    shell "printf 3 > 'in/d?/f' && printf 4 > in/dx/f"
    assert.are.same({ "1", "denied", "3", "denied" }, run [[
      pledge("fs:read=" .. base .. "/in/[d]eep/*", "fs:read=" .. base .. "/in/d?/*")
      for _, name in ipairs { "[d]eep", "deep", "d?", "dx" } do
        worker.message(read(base .. "/in/" .. name .. "/f"))
      end]])
  end)

  it("is given up before it exists", function()
    shell "ln -s out way"
    local w = worker.create(folder.script(HELP .. [[
      pledge("fs", "~fs:read=" .. base .. "/way/later/*", "~fs:write=" .. base .. "/in/./later/../later/x")
      worker.message "pledged"
      worker.peek()
      worker.message(read(base .. "/out/later/key"))
      worker.message(read(base .. "/way/later/key"))
      worker.message(try(io.open, base .. "/in/later/x", "w"))
      worker.message(try(io.open, base .. "/in/later/y", "w") and "made")]]), base)
    assert.are.equal("pledged", worker.receive(w))
    shell "mkdir out/later in/later && printf key > out/later/key"
    worker.send(w, true)
    for _, expected in ipairs { "denied", "denied", "denied", "made" } do
      assert.are.equal(expected, worker.receive(w))
    end
  end)

  it("is refused by the pledge when there can be none", function()
    assert.are.same({ true, true, true, true, 0 }, run [[
      for _, path in ipairs { ("x/"):rep(3000) .. "*", "/" .. ("x"):rep(5000), "/tmp/" .. ("x"):rep(300) .. "/*",
        "x/*" .. ("y"):rep(5000) } do
        worker.message(select(2, pcall(pledge, "~fs:read=" .. path)):find("which is no path", 1, true) ~= nil)
      end
      pledge("~fs:read=" .. ("x/"):rep(1000) .. "*", "~fs=/x/../../*")
      worker.message(0)]])
  end)

  it("is a link and what it leads to, given up", function()
    shell "ln -s ../out/file in/link"
    assert.are.same({ "denied", "denied", "inside", "denied" }, run [[
      pledge("fs", "~fs=" .. base .. "/in/link")
      worker.message(read(base .. "/in/link"))
      worker.message(read(base .. "/out/file"))
      worker.message(read(base .. "/in/file"))
      worker.message(try(os.remove, base .. "/in/link"))]])
  end)
end)

describe("a device of memory", function()
  it("is out of reach", function()
    local device = "/dev/shm/weir-" .. base:match "[^/]+$"
    local made = os.execute(("mknod %s c 1 1 2>/dev/null"):format(device))
    if made ~= true and made ~= 0 then return end -- who may not make one
    assert.are.same({ "denied" }, run(([[
      pledge "fs" worker.message(try(io.open, %q))]]):format(device)))
    os.remove(device)
  end)
end)

describe("what is denied or over", function()
  it("keeps no descriptor", function()
    run "worker.message(1)" -- the workers' threads are there now
    local before = folder.open_files()
    local list = run [[
      for i = 1, 50 do io.open(base .. "/in/" .. i, "w"):close() end
      pledge("fs=" .. base .. "/in/*")
      for i = 1, 50 do
        worker.message(try(os.remove, base .. "/out/file"))
        worker.message(try(os.rename, base .. "/in/file", base .. "/out/new"))
        worker.message(try(io.open, base .. "/out/file"))
        worker.message(try(io.open, base .. "/out/none", "w"))
        worker.message(try(os.remove, base .. "/in/" .. i) and "gone")
        worker.message(try(os.rename, base .. "/in/file", base .. "/in/file") and "moved")
      end]]
    assert.are.equal(300, #list)
    assert.are.same({ "denied", "denied", "denied", "denied", "gone", "moved" }, { unpack(list, 295) })
    assert.is_true(folder.open_files() < before + 5) -- popen's own end may still be open, or not
  end)
end)

describe("a restricted rename", function()
  it("moves no folder above a forbidden one", function()
    shell "mkdir -p in/top/secret in/free && printf key > in/top/secret/key && printf x > in/free/x"
    assert.are.same({ "denied", "denied", true, "x", "denied", "denied" }, run [[
      pledge("fs=" .. base .. "/in/*", "~fs:read=" .. base .. "/in/top/secret/*")
      worker.message(try(os.rename, base .. "/in/top", base .. "/in/other"))
      worker.message(try(os.rename, base .. "/in/top/secret", base .. "/in/other"))
      worker.message(try(os.rename, base .. "/in/free", base .. "/in/freed"))
      worker.message(read(base .. "/in/freed/x"))
      worker.message(read(base .. "/in/top/secret/key"))
      worker.message(try(os.rename, base .. "/in/freed", base .. "/out/freed"))]])
  end)

  it("moves no folder whose files it may not read to where it may", function()
    shell "mkdir in/shut in/open && printf key > in/shut/key"
    assert.are.same({ "denied", "denied" }, run [[
      local b = base .. "/in/"
      pledge("fs:write=" .. b .. "*", "fs:read=" .. b .. "shut", "fs:read=" .. b .. "open/*")
      worker.message(try(os.rename, b .. "shut", b .. "open/shut"))
      worker.message(read(b .. "shut/key"))]])
  end)

  it("moves no folder to where its files would be forbidden", function()
    shell "mkdir in/a in/b && printf x > in/a/x.so"
    assert.are.same({ "denied", true }, run [[
      local b = base .. "/in/"
      pledge("fs=" .. b .. "*", "~fs:write=" .. b .. "b/*.so")
      worker.message(try(os.rename, b .. "a", b .. "b/a"))
      worker.message(try(os.rename, b .. "a", b .. "c"))]])
  end)

  it("judges both ends, and the link itself", function()
    shell "ln -s ../out/file in/link && ln -s ../out in/folder"
    assert.are.same({ "denied", "denied", "denied", true, true, "denied" }, run [[
      pledge("fs=" .. base .. "/in/*")
      worker.message(try(os.rename, base .. "/in/file", base .. "/out/new"))
      worker.message(try(os.rename, base .. "/out/file", base .. "/in/new"))
      worker.message(try(os.rename, base .. "/in/folder/file", base .. "/in/new"))
      worker.message(try(os.rename, base .. "/in/link", base .. "/in/moved"))
      worker.message(try(os.remove, base .. "/in/moved"))
      worker.message(try(os.remove, base .. "/in/folder/file"))]])
    assert.are.equal("outside", content "out/file")
  end)
end)

-- With all of fs the memory of the process was a file like any other.
describe("the memory of a process", function()
  local proc = io.open "/proc/self/environ"
  local linux_it = proc and it or function() end
  if proc then proc:close() end

  linux_it("is out of reach with all of fs", function()
    shell "ln -s /proc/self in/self && ln -s /proc/self/mem in/mem"
    local list = run [[
      pledge "fs"
      for _, path in ipairs { "/proc/self/mem", "/proc/thread-self/mem", "/proc/1/mem", "/proc/self/environ",
        "/proc/self/maps", "/proc/self/task/../mem", "/proc/kcore", "/dev/mem",
        "/dev/port", base .. "/in/self/mem", base .. "/in/mem", "//proc/./self/mem" } do
        for _, mode in ipairs { "r", "r+" } do
          local file = try(io.open, path, mode)
          worker.message(type(file) == "userdata" and path or file:find "No such file" and "denied" or file)
        end
      end]]
    assert.are.equal(24, #list)
    for _, v in ipairs(list) do assert.are.equal("denied", v) end
    assert.are.same({ true, "denied" }, run [[
      pledge "fs"
      worker.message(#read "/proc/uptime" > 0)
      worker.message(try(io.open, "/proc/sys/kernel/core_pattern", "w"))]])
  end)

  linux_it("is out of reach with a pattern for it", function()
    assert.are.same({ "denied", "denied" }, run [[
      pledge("fs=/proc/*", "fs=/proc/self/*")
      worker.message(try(io.open, "/proc/self/mem", "r+"))
      worker.message(try(io.open, "/proc/self/environ"))]])
  end)
end)
