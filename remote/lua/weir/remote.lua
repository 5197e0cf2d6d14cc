-- SPDX-License-Identifier: ISC

--- Named jobs over RabbitMQ: what a pool does, on other machines.
--
--    local remote = require "weir.remote"
--    local farm = assert(remote.open { url = "amqp://farm" })
--    local ok, png = farm:run("thumbs.resize", "a.png", 200):get()
--
-- and in a worker program, under any loop or none:
--
--    local server = assert(remote.serve {
--      url = "amqp://farm",
--      pool = { threads = 4, init = connect, at_exit = disconnect },
--      jobs = { ["thumbs.resize"] = function(db, file, width) return resize(db, file, width) end },
--    })
--    require("weir.signal").wait "TERM"
--    server:close()
--
-- **At least once.** A job may run more than once, because its worker or the server can be lost
-- after it ran and before that was known. Its id stays the same, and a handler must be right when
-- it runs twice with one id. The first answer wins.
--
-- **What crosses** are nil, booleans, numbers, strings, and tables of them, as MessagePack, so
-- workers and clients may be programs in C and OCaml as well. What does not fit is refused by run,
-- naming the place. `codec = "bytes"` sends one string as it is.
--
-- **Coroutines** are suspended under Copas, luv and cqueues as `weir.loop` does it. Call these
-- functions on the thread of one state. A farm belongs to the state that opened it; two that open
-- `local:NAME` meet.
--
-- Times are in seconds. `remote/csrc/weir_remote.h` is the contract behind it.
-- @module weir.remote

local check = require "weir.check"
local codec = require "weir.remote.codec"
local core = require "weir.remote.core"
local desk = require "weir.remote.desk"
local futures = require "weir.remote.future"
local handle = require "weir.remote.handle"
local kinds_of = require "weir.remote.options"
local weir = require "weir"

local kinds = check.kinds

local remote = {}

--- A handler raises it, error(remote.retry), to give its job back: it runs again, here or
-- elsewhere, and counts as one more attempt.
remote.retry = handle.RETRY

-- ---- options ------------------------------------------------------------------

local PRIORITY = { normal = 0, high = 1, low = 2 }
local LEVELS = { [0] = "normal", "high", "low" }
local POLICY = { refuse = 0, drop_oldest = 3 }
local ENCODE = { msgpack = "encode", bytes = "bytes" }

local function has_zero(text) return type(text) == "string" and text:find("\0", 1, true) end

local function complain(level, where, text, ...)
  error(where .. ": " .. text:format(...), level + 1)
end

-- level: of the public function's caller, seen from here.
local function core_options(where, given, level)
  local options = {}
  for name, value in pairs(given) do
    if has_zero(value) then complain(level + 1, where, "options.%s has a zero byte", name) end
  end
  for name in pairs(kinds_of.farm) do options[name] = given[name] end
  options.when_full = POLICY[given.on_full or "refuse"]
  return options
end

-- ---- farms --------------------------------------------------------------------

--- Farms: where jobs go, a server or this process.
-- @type farm
local farm = {}
farm.__index = farm

local function check_farm(self, method)
  if getmetatable(self) ~= farm then
    error(("%s: called on a %s, not on a farm (use farm:%s())"):format(method, type(self), method), 3)
  end
end

local function open(where, given, level)
  if given.url == nil then complain(level, where, "options.url is missing") end
  local options, number = core_options(where, given, level), desk.hear(given.on_event)
  local opened, code, problem = core.open(options, number)
  if not opened then
    desk.deafen(number)
    if code == -1 or code == -13 then complain(level, where, "%s", problem) end
    return nil, problem
  end
  return setmetatable({ core = opened, events = number }, farm)
end

--- Opens a farm. It does not wait for the server.
-- @tparam table given the options:
-- @tparam string given.url amqp://user:password@host:port/vhost, amqps://..., local:, or
--   local:NAME, under which all farms of the process meet
-- @tparam[opt] string given.credentials_file its first line is user:password; wins over the url
-- @tparam[opt] string given.ca_file amqps: whom to trust
-- @tparam[opt] int given.queue_limit most jobs in flight
-- @tparam[opt="refuse"] string given.on_full at that limit: "refuse", or "drop_oldest": the oldest
--   job that is not with the server ends with false, "full"
-- @tparam[opt=16777216] int given.message_limit most bytes of an argument or result
-- @tparam[opt=60] number given.give_up so long without a server: jobs in flight end as "lost"
-- @tparam[opt=10] number given.heartbeat whole seconds
-- @tparam[opt=0.1] number given.reconnect_min the first wait before a reconnect; it doubles
-- @tparam[opt=5] number given.reconnect_max the longest
-- @tparam[opt=60] number given.reply_life a client's reply queue outlives it by this
-- @tparam[opt=10] number given.connect_within to connect and log in
-- @tparam[opt=1800] number given.consumer_timeout the server's
-- @tparam[opt] function given.on_event on_event(code, sentence) hears what no call returns: a
--   connection lost or made again, a queue that is not there, a message that was refused
-- @treturn ?farm nil if the system refuses a thread or memory. Raises if an option is wrong
-- @treturn ?string then why
-- @function weir.remote.open
function remote.open(given, ...)
  check.none("weir.remote.open", 2, ...)
  check.options(kinds_of.farm, "weir.remote.open: options", given)
  local opened, problem = open("weir.remote.open", given, 3)
  return opened, problem
end

local REFUSED = { [-5] = "closed", [-6] = "full" }

local function submit(self, call, name, ...)
  if type(name) ~= "string" then
    error(("run: argument 1 (name) must be a string, got %s"):format(tostring(name)), 3)
  end
  local content_type, bytes = codec[ENCODE[call.codec or "msgpack"]]("argument", ...)
  if not content_type then error(("run: job %s: %s"):format(name, bytes), 3) end
  local future, settle = futures.new()
  local number = desk.expect(settle)
  local job, code, problem = core.run(self.core, number, name, bytes, content_type,
    PRIORITY[call.priority or "normal"], call.start_within or 0, call.timeout or 0, call.orphan == "drop")
  if not job then
    desk.forget(number)
    if code == -1 then error("run: " .. problem, 3) end
    return nil, REFUSED[code] or problem, problem
  end
  future.job, future.uuid = job, core.id(job)
  desk.look_after()
  return future
end

local NO_OPTIONS = {}

--- Has a worker run the job. Never blocks.
-- @tparam string name
-- @param ... the handler's arguments. Raises if one cannot cross, naming it
-- @treturn ?weir.remote.future nil if it was refused
-- @treturn ?string then "full" (the queue_limit, or an argument above message_limit; the sentence
--   says which), "closed", or what the system refused
-- @treturn ?string then a sentence
function farm:run(name, ...)
  check_farm(self, "run")
  local future, why, sentence = submit(self, NO_OPTIONS, name, ...)
  return future, why, sentence
end

local task = {}
task.__index = task

--- Options for runs.
-- @tparam table given the options, all optional:
-- @tparam[opt="normal"] string given.priority "high", "normal" or "low"
-- @tparam[opt] number given.start_within unless a worker is known to have started it by then, it
--   ends with false, "expired"
-- @tparam[opt] number given.timeout unless it has ended by then, it ends with false, "timeout"
-- @tparam[opt="run"] string given.orphan "drop": not started once its client is known to be gone
-- @tparam[opt="msgpack"] string given.codec "bytes": the argument is one string, sent as it is
-- @return an object with a method run(name, ...), which works like farm:run
function farm:task(given, ...)
  check_farm(self, "task")
  check.none("task", 2, ...)
  check.options(kinds_of.run, "task: options", given)
  local copy = {}
  for name, value in pairs(given) do copy[name] = value end
  return setmetatable({ farm = self, options = copy }, task)
end

function task:run(name, ...)
  local future, why, sentence = submit(self.farm, self.options, name, ...)
  return future, why, sentence
end

--- One snapshot of its counts, as weir_remote_stats has them.
-- @treturn ?table nil if it is closed
function farm:stats()
  check_farm(self, "stats")
  return (core.stats(self.core))
end

--- The options as they hold; a password reads "***".
-- @treturn ?table nil if it is closed
function farm:options()
  check_farm(self, "options")
  local options = core.options(self.core)
  if not options then return nil end
  options.on_full = options.when_full == POLICY.drop_oldest and "drop_oldest" or "refuse"
  options.when_full = nil
  return options
end

-- The desk is told when the farm is over.
local function close(self, cancel, timeout)
  local over, _, problem
  -- core.close turns the desk's main, so that what comes there wakes nobody. The end of the farm may
  -- come at any turn, so core.close is last.
  local function try()
    repeat
      if over == nil or over == false then over, _, problem = core.close(self.core, cancel) end
    until over ~= false or not desk.take_found()
    return over ~= false
  end
  local ended = desk.hold()
  if not try() then desk.wait_at_end(try, timeout) end
  desk.deliver()
  ended()
  if over then desk.deafen(self.events) end
  if over == false then return nil, "timeout" end
  return over, problem
end

--- Refuses further jobs and requests at once, and waits, as future:get does, until jobs in flight
-- have their answers and handlers have ended.
-- @tparam[opt] table how the options, all optional:
-- @tparam[opt=false] boolean how.cancel ends jobs in flight with false, "closed", and asks
--   handlers to stop
-- @tparam[opt] number how.timeout in seconds; after it close returns nil, "timeout", and the farm
--   goes on closing
-- @treturn ?boolean true, also if it was closed before
-- @treturn ?string otherwise why not
function farm:close(how, ...)
  check_farm(self, "close")
  check.none("close", 2, ...)
  how = how or NO_OPTIONS
  check.options(kinds_of.close, "close: options", how)
  return close(self, how.cancel or false, how.timeout)
end

function farm.__tostring() return "weir.remote.farm" end

-- ---- serving ------------------------------------------------------------------

local served = {} -- name -> {pool, run, what}, of each job that this state serves

local function send(request, verb, a, b)
  if verb == "reply" then
    local ok, code, problem = core.reply(request, a, b)
    if not ok and code == -6 then core.fail(request, "TooLarge", problem) end
  elseif verb == "fail" then
    core.fail(request, a:gsub("%z", "?"), (b:gsub("%z", "?")))
  elseif verb == "retry" then
    core.retry(request)
  end
end

-- Given up by the pool: full and closed ones have not run, so another worker may.
local function send_failure(request, problem)
  if problem == "closed" or problem == "full" then return core.retry(request) end
  core.fail(request, problem == "cancelled" and "Cancelled" or "error", (tostring(problem):gsub("%z", "?")))
end

-- What a close by cancel has stopped, and not its client, is wanted still.
local function finish(request, closes, ok, ...)
  if ok then
    send(request, ...)
  elseif closes.by_cancel then
    core.retry(request)
  else
    send_failure(request, (...))
  end
  core.release(request)
end

local MARK = "weir.remote: a request"

-- On the pool's thread. A pool without init gives no state, and the mark says which it is.
local function in_pool(first, ...)
  local handler = require "weir.remote.handle"
  if first == "weir.remote: a request" then return handler.run(false, nil, ...) end
  return handler.run(true, first, select(2, ...))
end

local function start(request, number)
  local name, id, attempt, level, content_type, bytes = core.request(request)
  local job = served[name]
  return job.pool:task({ priority = LEVELS[level], label = name }):run(in_pool, MARK, job.run, job.what,
    { id = id, attempt = attempt, name = name }, content_type, bytes, number), job.closes
end

local function give_back(request)
  core.retry(request)
  core.release(request)
end

desk.on_request(function(request, number, ended)
  local ok, future, closes = pcall(start, request, number)
  if not ok or not future then
    if not ok then io.stderr:write("weir.remote: ", tostring(future), "\n") end
    give_back(request)
    return nil
  end
  local over = false
  future:on_settle(function()
    over = true
    ended()
    finish(request, closes, future:get())
  end)
  return not over and function() future:cancel() end or nil
end)

local function check_job(name, given)
  if type(name) ~= "string" then
    complain(4, "weir.remote.serve", "options.jobs: a name is a string, not %s", tostring(name))
  end
  if type(given) == "function" then return { run = given } end
  check.options(kinds_of.job, ("weir.remote.serve: options.jobs[%q]"):format(name), given)
  if not given.run then complain(4, "weir.remote.serve", "options.jobs[%q].run is missing", name) end
  return given
end

local function check_jobs(jobs)
  local names, within, list = {}, {}, {}
  for name, given in pairs(jobs) do
    local job = check_job(name, given)
    if served[name] then error(("weir.remote.serve: this state serves %q already"):format(name), 3) end
    names[#names + 1], within[#within + 1] = name, job.run_within or 0
    list[name] = { run = job.run, what = ENCODE[job.codec or "msgpack"] }
  end
  if not names[1] then error("weir.remote.serve: options.jobs is empty", 3) end
  return names, within, list
end

--- What serves: see weir.remote.serve.
-- @type server
local server = {}
server.__index = server

local function open_pool(given)
  if type(given) ~= "table" then return given, given:stats().threads end
  local pool, problem = weir.pool(given)
  if not pool then return nil, problem end
  return pool, given.threads_max or pool:stats().threads, true
end

local function open_server(given, names, within, list)
  local pool, threads, is_ours = open_pool(given.pool)
  if not pool then return nil, threads end
  local its_farm, problem = open("weir.remote.serve", given, 4)
  if not its_farm then return nil, problem end
  local closes = {}
  for name, job in pairs(list) do
    job.pool, job.closes = pool, closes
    served[name] = job
  end
  local self = setmetatable({
    farm = its_farm, pool = is_ours and pool, names = names, waiters = {},
    closes = not given.url:find "^local:" and closes or nil,
  }, server)
  self.ended = desk.hold()
  local ok, _, why = core.serve(its_farm.core, names, within, given.at_once or threads + 1)
  if ok then return self end
  self:close()
  error("weir.remote.serve: " .. why, 3)
end

--- Serves jobs: from now on they run on a pool, whose threads call handler(state, ...) or, in a
-- pool without init, handler(...). What a handler returns, or raises, is the client's. The state's
-- loop takes the requests or, without one, every wait of weir: server:wait, signal:wait, future:get.
-- While neither runs they wait; heartbeats go on.
--
-- A cancel of the client stops the handler as future:cancel stops a task. In a handler
-- remote.request() tells id and attempt.
-- @tparam table given the options of weir.remote.open, and:
-- @param given.pool a pool without a queue_limit, or the options of weir.pool for one that close
--   closes
-- @tparam table given.jobs name -> handler, or name -> a table:
-- @tparam function given.jobs.run the handler
-- @tparam[opt] number given.jobs.run_within seconds from when a thread begins; after it the job is
--   given back to the server to run again, and the handler is stopped
-- @tparam[opt="msgpack"] string given.jobs.codec "bytes": its result is one string, sent as it
--   is. Arguments come as their content type says
-- @tparam[opt] int given.at_once a server hands over at most so many of each queue (default: the
--   pool's threads + 1)
-- @treturn ?server nil if the pool or the farm cannot be opened
-- @return then why
-- @function weir.remote.serve
function remote.serve(given, ...)
  check.none("weir.remote.serve", 2, ...)
  check.options(kinds_of.serve, "weir.remote.serve: options", given)
  for _, name in ipairs { "url", "pool", "jobs" } do
    if given[name] == nil then error(("weir.remote.serve: options.%s is missing"):format(name), 2) end
  end
  local names, within, list = check_jobs(given.jobs)
  local opened, problem = open_server(given, names, within, list)
  return opened, problem
end

--- Waits, as future:get does, until the server is closed. Without a loop it serves meanwhile, as
-- every wait of weir does.
function server:wait()
  desk.wait(self.waiters, function() return self.closed end)
end

--- Takes no more requests, waits for the handlers that have begun, and closes what serve opened.
-- What no handler has begun, and what how.cancel has stopped, is given back to the server and runs
-- at another worker.
-- @tparam[opt] table how as for farm:close
-- @treturn ?boolean true
-- @treturn ?string otherwise why not
function server:close(how, ...)
  check.none("close", 2, ...)
  how = how or NO_OPTIONS
  check.options(kinds_of.close, "close: options", how)
  if self.closes then self.closes.by_cancel = how.cancel end
  local ok, problem = close(self.farm, how.cancel or false, how.timeout)
  if not ok then return nil, problem end
  for _, name in ipairs(self.names) do served[name] = nil end
  self.names = {}
  if self.pool then self.pool:close() end
  self.ended()
  self.closed = true
  desk.wake(self.waiters)
  return true
end

--- In a handler: what it runs.
-- @treturn ?table id (a UUID, the same when the job runs again), attempt (1 at the first
--   delivery), name; nil elsewhere
-- @function weir.remote.request
function remote.request()
  return handle.request
end

--- The counts of farms in Prometheus' text format, to be sent behind weir.metrics().
-- @tparam table list farms and servers
-- @treturn ?string nil if one of them is closed
-- @treturn ?string then why
-- @function weir.remote.metrics
function remote.metrics(list, ...)
  check.none("weir.remote.metrics", 2, ...)
  check.is(kinds.table, "weir.remote.metrics: argument 1", list)
  local farms = {}
  for i, given in ipairs(list) do
    local its_farm = getmetatable(given) == server and given.farm or given
    if getmetatable(its_farm) ~= farm then
      error(("weir.remote.metrics: argument 1[%d] must be a farm or a server, got %s"):format(i, type(given)), 2)
    end
    farms[i] = its_farm.core
  end
  if not farms[1] then return "" end
  local text, _, problem = core.metrics(farms, #farms)
  return text, problem
end

--- From now on each job and each request of this process is written to a file, for
-- https://ui.perfetto.dev. Those of client and workers of one machine may be joined with cat.
-- @tparam ?string path nil ends the trace
-- @treturn ?boolean true
-- @treturn ?string otherwise why not
-- @function weir.remote.trace
function remote.trace(path, ...)
  check.none("weir.remote.trace", 2, ...)
  if path ~= nil then check.is(kinds.string, "weir.remote.trace: argument 1", path) end
  local ok, _, problem = core.trace(path)
  return ok, problem
end

--- At deployment: makes the queues of these jobs at a server. Blocks the thread.
-- @tparam table given the options of weir.remote.open
-- @tparam {string,...} names
-- @treturn ?boolean true
-- @treturn ?string otherwise why not
-- @function weir.remote.declare
function remote.declare(given, names, ...)
  check.none("weir.remote.declare", 3, ...)
  check.options(kinds_of.farm, "weir.remote.declare: options", given)
  check.is(kinds.list, "weir.remote.declare: argument 2", names)
  local ok, _, problem = core.declare(core_options("weir.remote.declare", given, 3), names)
  return ok, problem
end

return remote
