-- SPDX-License-Identifier: ISC
--
-- lua-api.lua DOCS: see lua-api, which calls it. A module is public when config.ld names
-- its file.

local docs = ...
local passed, failed = 0, 0

local function check(ok, complaint, ...)
  if ok then
    passed = passed + 1
  else
    failed = failed + 1
    print(complaint:format(...))
  end
end

local function slurp(name)
  local file = assert(io.open(name))
  local text = file:read("a")
  file:close()
  return text
end

-- "run", "weir.pool" and "pool:run" are all of pool's run.
local function last(name) return name:match "([%w_]+)$" end

-- ---- what there is: class -> names of its functions --------------------------------

local real = {}

local function add(class, from)
  real[class] = real[class] or {}
  for name, value in pairs(from) do
    if type(name) == "string" and not name:find "^_" then
      if type(value) == "function" then real[class][name] = true end
    end
  end
end

-- What weir.nvim needs to be loaded outside of Neovim.
vim = { -- luacheck: ignore
  schedule = true, in_fast_event = function() return true end, api = { nvim_create_autocmd = function() end },
}

local config = {}
assert(loadfile("bindings/lua/config.ld", "t", config))()
local sources = {}
local CLASSES = { pool = true, future = true, mutex = true }
for _, file in ipairs(config.file) do
  local source = slurp("bindings/lua/" .. file)
  local name = source:match "\n%-%- @%w*module? ([%w._]+)" or source:match "\n%-%- @classmod ([%w._]+)"
  check(name, "%s: no @module or @classmod", file)
  sources[name] = source
  if not CLASSES[last(name)] then add(last(name), require(name)) end
end
local core = require "weir.core"
for class in pairs(CLASSES) do add(class, core[class]) end
real.future.unhandled = nil -- not for users
for name, value in pairs(require "weir.msys") do
  if type(value) == "table" and name ~= "core" then add(name, value) end
end
for name in ("message peek"):gmatch "%a+" do real.worker[name] = true end -- only in a worker
for pipe in io.popen("grep -l '^-- @\\(module\\|classmod\\)' -r bindings/lua/weir"):lines() do
  local file, is_listed = pipe:match "bindings/lua/(.*)", false
  for _, listed in ipairs(config.file) do is_listed = is_listed or listed == file end
  check(is_listed, "%s has an @module, but config.ld does not name it", file)
end

-- ---- what the types say --------------------------------------------------------------

local typed, fields = {}, {}
local class
for file in io.popen "find bindings/lua/types -name '*.lua'":lines() do
  check(loadfile(file), "%s: does not parse", file)
  local text = slurp(file)
  check(text:find "^%-%-%-@meta ", "%s: no ---@meta", file)
  for line in text:gmatch "[^\n]+" do
    class = line:match "^%-%-%-@class ([%w_.]+)" or class
    local field = line:match "^%-%-%-@field ([%w_]+)"
    if field then
      fields[class] = fields[class] or {}
      fields[class][field] = true
    end
    local owner, name = line:match "^function ([%w_]+)[.:]([%w_]+)%("
    if owner then
      typed[owner] = typed[owner] or {}
      typed[owner][name] = true
    end
  end
end

for owner, names in pairs(real) do
  for name in pairs(names) do
    check(typed[owner] and typed[owner][name], "types: %s.%s is missing", owner, name)
  end
end
local made = {} -- objects
for name in ("task descriptor packed work nvim_pool owner catcher handle"):gmatch "[%w_]+" do made[name] = true end
for owner, names in pairs(typed) do
  for name in pairs(names) do
    check(made[owner] or (real[owner] and real[owner][name]), "types: there is no %s.%s", owner, name)
  end
end

-- ---- what LDoc has ---------------------------------------------------------------------

local documented = {}
for file in io.popen(("find %s -name '*.html'"):format(docs)):lines() do
  for name in slurp(file):gmatch '<a name = "([^"]+)"' do documented[last(name)] = true end
end
for owner, names in pairs(real) do
  for name in pairs(names) do
    check(documented[name], "LDoc: %s.%s has no comment", owner, name)
  end
end

-- ---- what a reader sees ------------------------------------------------------------------

local page = slurp(docs .. "/modules/weir.worker.html")
local EXPECTED = {
  paragraph = "<p>The workers of Lus[^<]*</p>",
  ["block of code"] = "<pre>%s*<[^\n]*local</span> worker = [^\n]*\n<[^\n]*local</span> w = ",
  ["block of code in a function's text"] = '<pre>pledge%("load", "fs:read=lib/%*", "seal"%)[^\n]*\npledge',
  list = "<ul>\n<li>Any number of workers[^<]*</li>\n<li>Messages come first[^<]*</li>",
  ["strong word"] = "<strong>Threads</strong>",
  ["word of code"] = "<code>fs:read=/data/%*</code>",
  ["name with an underscore in a table"] = '<tr>%s*<td class="name" nowrap><a href="#receive_within">receive_within',
  ["name with an underscore in a text"] = "traceback, receive_within, close",
}
for what, pattern in pairs(EXPECTED) do check(page:find(pattern), "LDoc: weir.worker.html: no %s", what) end
for file in io.popen(("find %s -name '*.html'"):format(docs)):lines() do
  local text = slurp(file):gsub("<pre.->.-</pre>", ""):gsub("<code>.-</code>", "")
  local left = text:match "[^\n]*`[^\n]*" or text:match "[^\n]*%*%*[^\n]*" or text:match "[^\n]*\\_[^\n]*"
  check(not left, "LDoc: %s: markup is left: %s", file, left)
end

-- ---- options ---------------------------------------------------------------------------

local OPTIONS = { options = "pool", task_options = "task", close_options = "close", close_async_options = "close" }
for list, what in pairs(OPTIONS) do
  local keys = sources["weir.pool"]:match("\nlocal " .. list .. " = (%b{})")
  check(keys, "weir.pool: no table %s", list)
  local typed_here = fields[("weir.%s.options"):format(what)] or {}
  local seen = {}
  for key in ((keys or ""):gsub("%b()", "")):gmatch "([%w_]+) =" do
    seen[key] = true
    check(typed_here[key], "types: weir.%s.options has no %s", what, key)
    check(sources["weir.pool"]:find("%-%-[^\n]*%f[%w_]" .. key .. "%f[^%w_]"), "LDoc: option %s has no comment", key)
  end
  for key in pairs(list == "close_async_options" and {} or typed_here) do
    check(seen[key], "types: there is no option %s of %s", key, what)
  end
end

print(("%d passed, %d failed"):format(passed, failed))
os.exit(failed == 0)
