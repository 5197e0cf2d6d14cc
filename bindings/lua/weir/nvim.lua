-- SPDX-License-Identifier: ISC

--- weir in Neovim (0.7 or later): pools beside the editor.
--
--    local pool = assert(require("weir.nvim").pool { name = "search", threads = 2 })
--    pool:run(require("my_plugin.search").count, path):on_settle(function(future)
--      local ok, n = future:get()
--      vim.notify(ok and n .. " matches" or "failed: " .. tostring(n))
--    end)
--
-- **Back in the editor** everything comes by vim.schedule: the functions of on_settle, of
-- weir.run_in_main and of weir.progress, and coroutines that future:get() had suspended. So all
-- of vim.api may be used there. Outside of a coroutine future:get() blocks the editor, unless
-- the future is over.
--
-- **In tasks** there is no `vim`: a task runs in a Lua state of its own. Modules are found where
-- the editor finds them, by the 'runtimepath' at the time of each run, then by package.path.
--
-- **At the end** (VimLeavePre) the tasks of these pools are cancelled, and the editor waits up to
-- exit_timeout seconds for their threads and at_exit.
--
-- What nobody reads of a failed task is shown by vim.notify, see weir.on_unhandled.
-- @module weir.nvim

local check = require "weir.check"
local weir = require "weir"

local vim = vim -- luacheck: ignore
if not vim or not vim.schedule then error "weir.nvim: this is not Neovim's own Lua state" end

local luv = weir.loop.luv

local nvim = {}

-- ---- the loop: luv's, but all that comes back goes through vim.schedule ---------------------

local loop = { name = "nvim" }
local suspended = setmetatable({}, { __mode = "k" })

local function complain(text) vim.notify(text, vim.log.levels.ERROR) end

function loop.owns() return true end

loop.present = loop.owns

function loop.watch(fd, fn)
  local stop, ready
  local is_watching = true
  local function turn()
    if is_watching then fn() end
    if is_watching then stop = luv.watch(fd, ready) end
  end
  -- The descriptor stays readable until fn has run, which may be some turns of luv later.
  function ready()
    stop()
    vim.schedule(turn)
  end
  stop = luv.watch(fd, ready)
  return function()
    is_watching = false
    stop()
  end
end

function loop.resume(co)
  if not suspended[co] then return end -- it has gone on, or waits for something else
  local ok, problem = coroutine.resume(co)
  if not ok then complain("weir: a coroutine failed: " .. debug.traceback(co, tostring(problem))) end
end

function loop.suspend(co, timeout)
  local timer = timeout and vim.loop.new_timer()
  if timer then
    local ms = math.ceil(math.min(timeout, 1e9) * 1000)
    timer:start(ms, 0, vim.schedule_wrap(function() loop.resume(co) end))
  end
  suspended[co] = true
  coroutine.yield()
  suspended[co] = nil
  if timer then timer:close() end
end

loop.spawn = luv.spawn

weir.loop.register(loop)

weir.on_unhandled(function(problem, traceback)
  local text = "weir: a task failed and nobody asked: " .. (traceback or check.text(problem))
  vim.schedule(function() complain(text) end)
end)

-- ---- where modules are found ------------------------------------------------------------------

local seen, lua_path, c_path

-- In a callback of luv 'runtimepath' cannot be read; then it is as it was.
local function paths()
  if vim.in_fast_event() or vim.o.runtimepath == seen then return lua_path, c_path end
  seen = vim.o.runtimepath
  local lua, c = {}, {}
  for _, folder in ipairs(vim.api.nvim_list_runtime_paths()) do
    lua[#lua + 1] = ("%s/lua/?.lua;%s/lua/?/init.lua"):format(folder, folder)
    c[#c + 1] = ("%s/lua/?.so"):format(folder)
  end
  lua_path = table.concat(lua, ";") .. ";" .. package.path
  c_path = table.concat(c, ";") .. ";" .. package.cpath
  return lua_path, c_path
end
paths()

-- ---- pools ---------------------------------------------------------------------------------------

-- On the thread. The call is unpacked when its modules can be found.
local function enter(state, lua, c, call)
  package.path, package.cpath = lua, c
  local function start(f, ...)
    if state.given then return f(state.value, ...) end
    return f(...)
  end
  return start(call:unpack())
end

local function init(lua, c, call)
  package.path, package.cpath = lua, c
  if not call then return {} end
  local function start(f, ...)
    local value, problem = f(...)
    if value == nil and problem ~= nil then return nil, problem end
    return { given = true, value = value }
  end
  return start(call:unpack())
end

local function end_with(at_exit)
  return at_exit and function(state) at_exit(state.value) end
end

local pools = setmetatable({}, { __mode = "k" }) -- those to be closed at the end

--- A pool of weir.nvim. The methods cancel_all, resize and stats are those of weir.pool.
-- @type pool

local pool = {}
local FORWARDED = { cancel_all = true, resize = true, stats = true }

local check_self = check.receiver("pool", function(value) return getmetatable(value) == pool end)

function pool:__index(name)
  local method = pool[name]
  if method ~= nil or not FORWARDED[name] then return method end
  return function(_, ...) return self.handle[name](self.handle, ...) end
end

-- Of the functions in this file: the caller's line is two up.
local function raise(where, problem)
  error(where .. ": " .. tostring(problem):gsub("^[^:]*:%d+: ", ""):gsub("^weir%.[%w_.]*: ", ""), 3)
end

--- Has a thread of the pool call f(...), or f(state, ...) in a pool with init.
-- @tparam function f
-- @param ... its arguments
-- @treturn ?weir.future nil if the task was refused
-- @treturn ?string then "full", "closed" or what the system refused
function pool:run(f, ...)
  check_self(self, "run")
  check.is(check.kinds["function"], "run: argument 1", f)
  local packed, call = pcall(weir.pack, f, ...)
  if not packed then raise("run", call) end
  local lua, c = paths()
  return self.task:run(enter, lua, c, call)
end

--- weir.pool's close.
-- @tparam[opt] table how
function pool:close(how)
  check_self(self, "close")
  pools[self] = nil
  return self.handle:close(how)
end

--- weir.pool's close_async.
-- @tparam[opt] table how
function pool:close_async(how)
  check_self(self, "close_async")
  pools[self] = nil
  return self.handle:close_async(how)
end

function pool:__tostring()
  return (tostring(self.handle):gsub("^weir", "weir.nvim"))
end

--- @section end

-- LuaJIT's compiled loops cannot be stopped, so who wants that does without the compiler.
local function open(given)
  local lua, c = paths()
  local options = {}
  for name, value in pairs(given) do options[name] = value end
  options.exit_timeout, options.cancellable = nil, nil
  local call = given.init and weir.pack(given.init, (table.unpack or unpack)(given.args or {}))
  options.init, options.args, options.at_exit = init, { lua, c, call }, end_with(given.at_exit)
  local own_path, own_cpath = package.path, package.cpath
  package.path, package.cpath = lua, c
  local ok, handle, problem = pcall(weir.pool_async, options)
  package.path, package.cpath = own_path, own_cpath
  if not ok then error(handle, 0) end
  return handle, problem
end

--- Opens a pool without waiting for its threads.
-- @tparam[opt] table given the options of weir.pool, and:
-- @tparam[opt=true] boolean given.cancellable tasks run without LuaJIT's compiler, so that a
--   cancel stops any loop. With false they are faster, and a compiled loop is given up
-- @tparam[opt=1] number given.exit_timeout seconds that the end of the editor waits for the pool
-- @treturn ?pool nil if the system refuses it
-- @treturn ?string then why
function nvim.pool(given)
  given = given or {}
  check.is(check.kinds.table, "weir.nvim.pool: options", given)
  local ok, handle, problem = pcall(open, given)
  if not ok then raise("weir.nvim.pool", handle) end
  if not handle then return nil, problem end
  local self = setmetatable({
    handle = handle,
    exit_timeout = given.exit_timeout or 1,
    task = handle:task { cancellable = given.cancellable ~= false },
  }, pool)
  pools[self] = true
  return self
end

--- What VimLeavePre does: cancels the tasks of all pools, and closes the pools.
function nvim.stop()
  for self in pairs(pools) do self:cancel_all() end
  for self in pairs(pools) do self:close { timeout = self.exit_timeout } end
end

vim.api.nvim_create_autocmd("VimLeavePre", { desc = "weir: end the pools", callback = nvim.stop })

return nvim
