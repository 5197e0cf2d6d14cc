---@meta weir
-- SPDX-License-Identifier: ISC
--
-- Types of the module weir, for LuaLS and other readers of LuaCATS annotations. The doc
-- comments of the modules explain what the functions do.

---@class weir
---@field _VERSION string
---@field loop weir.loop
---@field shared weir.shared
local weir = {}

---@class weir.pool.options
---@field name? string
---@field threads? integer
---@field threads_max? integer
---@field lazy? boolean
---@field idle? number seconds
---@field max_blocked? integer
---@field queue_limit? integer
---@field on_full? "refuse"|"wait"|"drop_oldest"
---@field stack_size? integer bytes
---@field nice? integer
---@field init? fun(...): any
---@field args? any[]
---@field at_exit? fun(state: any)
---@field preload? boolean
---@field searchers? boolean
---@field cancel_timeout? number seconds
---@field own_globals? boolean
---@field metatables? "refuse"|"copy"|"drop"
---@field measure? boolean

---@param given weir.pool.options
---@return weir.pool? pool
---@return any problem
function weir.pool(given) end

---@param given weir.pool.options
---@return weir.pool? pool
---@return weir.future|string opening
function weir.pool_async(given) end

---@param list weir.future[]
---@param timeout? number seconds
---@return boolean in_time
function weir.all(list, timeout) end

---@param list weir.future[]
---@param timeout? number seconds
---@return integer? index
---@return weir.future? future
function weir.any(list, timeout) end

---@param kind? "normal"|"recursive"|"errorcheck"
---@return weir.mutex
function weir.mutex(kind) end

---@param name string
---@param is_main? boolean
---@return weir.owner
function weir.owner(name, is_main) end

---@param f function
---@param ... any
---@return any ...
function weir.run_in_main(f, ...) end

---@param fn function
---@return fun(...: any): any handle
function weir.progress(fn) end

---@return boolean
function weir.in_task() end

---@return string
function weir.metrics() end

---@return boolean
function weir.cancelled() end

---@param f fun()
function weir.on_cancel(f) end

---@param f function
---@param ... any
---@return any ...
function weir.blocking(f, ...) end

---@param name string
---@param mt table
function weir.register(name, mt) end

---@param ... any
---@return weir.packed
function weir.pack(...) end

---@param seconds number
function weir.sleep(seconds) end

---@generic T
---@param problem T
---@return T
function weir.note_failure(problem) end

---@class weir.watch.options
---@field task? number seconds
---@field loop? number seconds
---@field log? fun(text: string)

---@param label string
---@param f fun(...): ...
---@return any ...
function weir.slice(label, f, ...) end

---@param given? weir.watch.options
---@return boolean? watched
---@return string? why
function weir.watch(given) end

---@param fn? fun(problem: any, traceback: string?)
function weir.on_unhandled(fn) end

---@param problem any
---@param traceback? string
function weir.report(problem, traceback) end

-- ---- pools -----------------------------------------------------------------------

---@class weir.pool
local pool = {}

---@param f function
---@param ... any
---@return weir.future? future
---@return "full"|"closed"|nil why
function pool:run(f, ...) end

---@param f function
---@param ... any
---@return boolean? accepted
---@return "full"|"closed"|nil why
function pool:post(f, ...) end

---@class weir.task.options
---@field priority? "high"|"normal"|"low"
---@field timeout? number seconds
---@field start_within? number seconds
---@field cancellable? boolean
---@field label? string

---@class weir.task
local task = {}

---@param given weir.task.options
---@return weir.task
function pool:task(given) end

---@param f function
---@param ... any
---@return weir.future? future
---@return "full"|"closed"|nil why
function task:run(f, ...) end

---@param f function
---@param ... any
---@return boolean? accepted
---@return "full"|"closed"|nil why
function task:post(f, ...) end

---@class weir.close.options
---@field drain? boolean
---@field timeout? number seconds; not for close_async

function pool:cancel_all() end

---@param f function
---@param list any[]
---@param ... any
---@return any[]? results
---@return any problem
---@return integer? index
function pool:map(f, list, ...) end

---@param how? weir.close.options
---@return boolean? closed
---@return any problem
function pool:close(how) end

---@param how? weir.close.options
---@return weir.future? closing
---@return string? why
function pool:close_async(how) end

---@param min integer
---@param max? integer
---@return boolean? resized
---@return string? why
function pool:resize(min, max) end

---@return table<string, number>
function pool:stats() end

---@class weir.running
---@field label? string
---@field thread? integer
---@field seconds number
---@field cancelled boolean
---@field blocking boolean

---@return weir.running[]
function pool:running() end

---@param which "queue"|"run"
---@return {below: number, count: integer}[]? times
function pool:times(which) end

---@param which "queue"|"run"
---@param percent number
---@return number? seconds
function pool:percentile(which, percent) end

-- ---- futures ---------------------------------------------------------------------

---@class weir.future
---@overload fun(): boolean, ...
local future = {}

---@return boolean ok
---@return any ...
function future:get() end

---@return boolean? ok
---@return any ...
function future:try() end

---@param timeout? number seconds
---@return boolean over
function future:wait(timeout) end

---@param timeout? number seconds
---@return boolean cancelled
function future:cancel(timeout) end

---@param fn fun(future: weir.future)
function future:on_settle(fn) end

---@return string?
function future:traceback() end

-- ---- mutexes, packed values ------------------------------------------------------

---@class weir.mutex
local mutex = {}

---@param owner? weir.owner
---@return boolean? locked
---@return string? why
function mutex:lock(owner) end

---@param owner? weir.owner
---@return boolean locked
function mutex:trylock(owner) end

---@param owner? weir.owner
---@return boolean? unlocked
---@return string? why
function mutex:unlock(owner) end

---@return string?
function mutex:holder() end

---@class weir.owner
local owner = {}

function owner:release() end

---@class weir.packed
local packed = {}

---@return any ...
function packed:unpack() end

---@return integer bytes
function packed:size() end

return weir
