-- SPDX-License-Identifier: ISC

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local signal = require "weir.signal"
local weir = require "weir"

local pool
setup(function() pool = assert(weir.pool { threads = 1 }) end)
teardown(function() pool:close() end)

-- The call raises `expected` at the line that made it.
local function refuses(call, expected)
  local ok, problem = pcall(call)
  assert.is_false(ok)
  local line = debug.getinfo(call, "S").linedefined
  assert.are.equal(("test/lua/test_input.lua:%d: %s"):format(line, expected), problem)
end

-- Calls stand in functions of one line; what they do after the call keeps it from being
-- a tail call, which would have no line.
local function none() end

describe("weir.pool", function()
  it("refuses what is no table", function()
    refuses(function() none(weir.pool()) end, "weir.pool: options must be a table, got nil")
    refuses(function() none(weir.pool("x")) end, 'weir.pool: options must be a table, got "x"')
  end)

  it("refuses options that it does not know", function()
    refuses(function() none(weir.pool { thread = 1 }) end, 'weir.pool: options: unknown option "thread"')
    refuses(function() none(weir.pool { 4 }) end, "weir.pool: options: unknown option 1")
  end)

  it("refuses options of a wrong type or range, each by name", function()
    local whole = "a whole number from 1 to 1024"
    refuses(function() none(weir.pool { threads = 0 }) end,
      "weir.pool: options.threads must be " .. whole .. ", got 0")
    refuses(function() none(weir.pool { threads = 1.5 }) end,
      "weir.pool: options.threads must be " .. whole .. ", got 1.5")
    refuses(function() none(weir.pool { threads = 1025 }) end,
      "weir.pool: options.threads must be " .. whole .. ", got 1025")
    refuses(function() none(weir.pool { threads_max = "2" }) end,
      "weir.pool: options.threads_max must be " .. whole .. ', got "2"')
    refuses(function() none(weir.pool { name = 5 }) end, "weir.pool: options.name must be a string, got 5")
    refuses(function() none(weir.pool { idle = -1 }) end,
      "weir.pool: options.idle must be a number of seconds, 0 or more, got -1")
    refuses(function() none(weir.pool { init = true }) end,
      "weir.pool: options.init must be a function, got true (boolean)")
    refuses(function() none(weir.pool { at_exit = 1 }) end, "weir.pool: options.at_exit must be a function, got 1")
    refuses(function() none(weir.pool { init = none, args = 1 }) end, "weir.pool: options.args must be a list, got 1")
    refuses(function() none(weir.pool { on_full = "block" }) end,
      'weir.pool: options.on_full must be one of "refuse", "wait", "drop_oldest", got "block"')
    refuses(function() none(weir.pool { preload = 1 }) end, "weir.pool: options.preload must be a boolean, got 1")
    refuses(function() none(weir.pool { max_blocked = -1 }) end,
      "weir.pool: options.max_blocked must be a whole number from 0 to 1024, got -1")
    refuses(function() none(weir.pool { nice = -1 }) end,
      "weir.pool: options.nice must be a whole number from 0 to 19, got -1")
    refuses(function() none(weir.pool { stack_size = 10 }) end,
      "weir.pool: options.stack_size must be a whole number from 65536 to 1073741824, got 10")
  end)

  it("refuses options that contradict each other", function()
    refuses(function() none(weir.pool { threads = 4, threads_max = 2 }) end,
      "weir.pool: options.threads_max (2) is less than options.threads (4)")
    refuses(function() none(weir.pool { args = {} }) end,
      "weir.pool: options.args without options.init, which would get them")
  end)

  it("refuses more values than a function can get", function()
    refuses(function() none(weir.pool { init = none, args = { n = 2 ^ 20 } }) end,
      "weir.pool: options.args has more values than a function can get")
  end)

  it("shows values that cannot be shown", function()
    local odd = setmetatable({}, { __tostring = function() error "not me" end })
    refuses(function() none(weir.pool { threads = odd }) end,
      "weir.pool: options.threads must be a whole number from 1 to 1024, got ? (table)")
  end)

  it("refuses what cannot cross, by the option's name", function()
    local co = coroutine.create(none)
    refuses(function() none(weir.pool { init = function() return co end }) end,
      "weir.pool: options.init (upvalue 'co'): coroutine cannot cross to another thread")
    refuses(function() none(weir.pool { init = none, args = { 1, { co } } }) end,
      "weir.pool: options.args[2][1]: coroutine cannot cross to another thread")
    refuses(function() none(weir.pool { at_exit = function() return co end }) end,
      "weir.pool: options.at_exit (upvalue 'co'): coroutine cannot cross to another thread")
  end)
end)

describe("an argument that a method does not take", function()
  it("is refused, with its value, at the caller's line", function()
    local future, mutex = pool:run(none), weir.mutex()
    local function refused(what, number, f)
      refuses(f, ("%s: takes no argument %d, got 0.1"):format(what, number))
    end
        local timed = "get: takes no argument 1, got 0.1 (wait takes a timeout)"
    refuses(function() none(future:get(0.1)) end, timed)
    refuses(function() none(future(0.1)) end, timed)
    refused("try", 1, function() none(future:try(0.1)) end)
    refused("wait", 2, function() none(future:wait(1, 0.1)) end)
    refused("cancel", 2, function() none(future:cancel(1, 0.1)) end)
    refused("on_settle", 2, function() none(future:on_settle(none, 0.1)) end)
    refused("traceback", 1, function() none(future:traceback(0.1)) end)
    refused("weir.all", 3, function() none(weir.all({}, 1, 0.1)) end)
    refused("weir.any", 3, function() none(weir.any({ future }, 1, 0.1)) end)
    refused("weir.pool", 2, function() none(weir.pool({}, 0.1)) end)
    refused("weir.pool_async", 2, function() none(weir.pool_async({}, 0.1)) end)
    refused("task", 2, function() none(pool:task({}, 0.1)) end)
    refused("close", 2, function() none(pool:close({}, 0.1)) end)
    refused("close_async", 2, function() none(pool:close_async({}, 0.1)) end)
    refused("resize", 3, function() none(pool:resize(1, 1, 0.1)) end)
    refused("stats", 1, function() none(pool:stats(0.1)) end)
    refused("weir.sleep", 2, function() none(weir.sleep(0, 0.1)) end)
    refused("weir.in_task", 1, function() none(weir.in_task(0.1)) end)
    refused("weir.cancelled", 1, function() none(weir.cancelled(0.1)) end)
    refused("weir.register", 3, function() none(weir.register("x", {}, 0.1)) end)
    refused("weir.on_unhandled", 2, function() none(weir.on_unhandled(nil, 0.1)) end)
    refused("weir.report", 3, function() none(weir.report("x", "y", 0.1)) end)
    refused("weir.mutex", 2, function() none(weir.mutex(nil, 0.1)) end)
    refused("weir.owner", 3, function() none(weir.owner("x", true, 0.1)) end)
    refused("lock", 2, function() none(mutex:lock(nil, 0.1)) end)
    refused("trylock", 2, function() none(mutex:trylock(nil, 0.1)) end)
    refused("unlock", 2, function() none(mutex:unlock(nil, 0.1)) end)
    refused("holder", 1, function() none(mutex:holder(0.1)) end)
    refused("release", 1, function() none(weir.owner("x"):release(0.1)) end)
    refused("unpack", 1, function() none(weir.pack(1):unpack(0.1)) end)
    refused("size", 1, function() none(weir.pack(1):size(0.1)) end)
    for name, n in pairs { get = 2, set = 3, update = 3, once = 3, add = 3, version = 2 } do
      local second, third = n == 2 and 0.1 or 1, n == 3 and 0.1 or nil
      refused("weir.shared." .. name, n, function() none(weir.shared[name]("k", second, third)) end)
    end
    refused("weir.signal.catch", 2, function() none(signal.catch("WINCH", 0.1)) end)
    refused("weir.signal.keep_pipe", 1, function() none(signal.keep_pipe(0.1)) end)
    local catcher = assert(signal.catch "WINCH")
    for _, name in ipairs { "fd", "drain", "take", "release" } do
      refused(name, 1, function() none(catcher[name](catcher, 0.1)) end)
    end
    catcher:release(nil)
    refused("weir.progress", 2, function() none(weir.progress(none, 0.1)) end)
    assert.is_true(future:get(nil)) -- nil is none
  end)
end)

describe("methods of a pool", function()
  it("refuse to be called on something else", function()
    refuses(function() none(pool.run(none)) end, "run: called on a function, not on a pool (use pool:run())")
    refuses(function() none(pool.close()) end, "close: called on a nil, not on a pool (use pool:close())")
    refuses(function() none(pool.stats({})) end, "stats: called on a table, not on a pool (use pool:stats())")
    refuses(function() none(pool.resize(io.stdout)) end,
      "resize: called on a userdata, not on a pool (use pool:resize())")
  end)

  it("refuse wrong arguments", function()
    refuses(function() none(pool:run(5)) end, "run: argument 1 must be a function, got 5")
    refuses(function() none(pool:task {}:run()) end, "run: argument 1 must be a function, got nil")
    refuses(function() none(pool:task { priority = 3 }) end,
      'task: options.priority must be one of "high", "normal", "low", got 3')
    refuses(function() none(pool:task { timeout = "1" }) end,
      'task: options.timeout must be a number of seconds, 0 or more, got "1"')
    refuses(function() none(pool:task { prio = 1 }) end, 'task: options: unknown option "prio"')
    refuses(function() none(pool:task()) end, "task: options must be a table, got nil")
    refuses(function() none(pool:close { drian = true }) end, 'close: options: unknown option "drian"')
    refuses(function() none(pool:close { timeout = -1 }) end,
      "close: options.timeout must be a number of seconds, 0 or more, got -1")
    refuses(function() none(pool:close_async { timeout = 1 }) end, 'close_async: options: unknown option "timeout"')
    refuses(function() none(pool:resize(-1)) end,
      "resize: argument 1 (min) must be a whole number from 0 to 1024, got -1")
    refuses(function() none(pool:resize(0)) end,
      "resize: argument 2 (max) must be a whole number from 1 to 1024, got 0")
    refuses(function() none(pool:resize(4, 2)) end,
      "resize: argument 2 (max) must be a whole number from 4 to 1024, got 2")
  end)

  it("refuse what cannot cross, at the caller's line", function()
    local co = coroutine.create(none)
    refuses(function() none(pool:run(none, { conn = { co } })) end,
      "run: argument 2.conn[1]: coroutine cannot cross to another thread")
    refuses(function() none(pool:run(function() return co end)) end,
      "run: argument 1 (upvalue 'co'): coroutine cannot cross to another thread")
    refuses(function() none(pool:task {}:run(none, co)) end,
      "run: argument 2: coroutine cannot cross to another thread")
  end)
end)

describe("methods of a future", function()
  it("refuse to be called on something else", function()
    local future = pool:run(none)
    future:wait()
    refuses(function() none(future.get()) end, "get: called on a nil, not on a future (use future:get())")
    refuses(function() none(future.try(pool)) end, "try: called on a userdata, not on a future (use future:try())")
    refuses(function() none(future.cancel {}) end,
      "cancel: called on a table, not on a future (use future:cancel())")
    refuses(function() none(future.traceback(1)) end,
      "traceback: called on a number, not on a future (use future:traceback())")
    refuses(function() none(future:wait("1")) end,
      "wait: argument 1 (timeout) must be a number of seconds or nil, got 1")
    for _, wrong in ipairs { "1", -1, 0 / 0, {} } do
      refuses(function() none(future:cancel(wrong)) end,
        "cancel: argument 1 (timeout) must be a number of seconds, 0 or more, or nil, got " .. tostring(wrong))
    end
  end)
end)

describe("functions of weir", function()
  it("refuse wrong arguments", function()
    refuses(function() none(weir.all(1)) end, "weir.all: argument 1 must be a list of futures, got number")
    refuses(function() none(weir.all { 1 }) end, "weir.all: argument 1[1] must be a future, got number")
    refuses(function() none(weir.any {}) end, "weir.any: argument 1 is an empty list")
    refuses(function() none(weir.any({ pool:run(none) }, "1")) end,
      "weir.any: argument 2 (timeout) must be a number of seconds or nil, got 1")
    refuses(function() none(weir.blocking()) end, "weir.blocking: argument 1 must be a function, got nil")
    refuses(function() none(weir.run_in_main(1)) end, "weir.run_in_main: argument 1 must be a function, got 1")
    refuses(function() none(weir.on_unhandled(1)) end, "weir.on_unhandled: argument 1 must be a function, got 1")
    refuses(function() none(weir.progress(1)) end, "weir.progress: argument 1 must be a function, got 1")
    refuses(function() none(weir.all({}, "1")) end,
      "weir.all: argument 2 (timeout) must be a number of seconds or nil, got 1")
    refuses(function() none(weir.any("x")) end, "weir.any: argument 1 must be a list of futures, got string")
    refuses(function() none(weir.loop.register(1)) end,
      "weir.loop.register: argument 1 must be a loop (a table), got number")
    refuses(function() none(weir.loop.use { owns = none }) end,
      "weir.loop.use: argument 1.suspend must be a function, got nil")
  end)

  it("refuse to register what is no name, no metatable, or taken", function()
    local first = {}
    weir.register("weir.test.input", first)
    none(weir.register("weir.test.input", first))
    refuses(function() none(weir.register(5, {})) end,
      "weir.register: argument 1 (name) must be a string, got 5")
    refuses(function() none(weir.register("x")) end,
      "weir.register: argument 2 (metatable) must be a table, got nil")
    refuses(function() none(weir.register("weir.test.input", {})) end,
      "weir.register: 'weir.test.input' is another metatable's name")
    refuses(function() none(weir.register("weir.test.other", first)) end,
      "weir.register: it is registered as 'weir.test.input'")
  end)

  it("answer outside a task", function()
    assert.is_false(weir.cancelled())
  end)
end)
