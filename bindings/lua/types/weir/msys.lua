---@meta weir.msys
-- SPDX-License-Identifier: ISC

---@class weir.msys
---@field core table<string, integer>
---@field thread weir.msys.thread
---@field threadpool weir.msys.threadpool
---@field timer weir.msys.timer
local msys = {}

---@param pool string|integer
---@param f function
---@param completion? boolean|fun(ok: boolean, ...: any)
---@param mode? integer
---@return boolean? ok
---@return any ...
function msys.runInPool(pool, f, completion, mode) end

---@param instance 0
---@param f function
---@return boolean ok
---@return any ...
function msys.runInInst(instance, f) end

---@param fn function
---@param ... any
function msys.spawn(fn, ...) end

---@param fn function
---@param ... any
---@return any ...
function msys.run(fn, ...) end

---@param time number seconds
function msys.sleep(time) end

---@param key string
---@param value number|string|boolean|nil
function msys.shareSet(key, value) end

---@param key string
---@return number|string|boolean|nil
function msys.shareGet(key) end

---@param key string
function msys.shareUnset(key) end

---@param path string
---@return string? contents
---@return string? why
function msys.readfile(path) end

---@param name string
function msys.lock(name) end

---@param name string
---@return boolean? unlocked
---@return string? why
function msys.unlock(name) end

---@param name string
---@param module table
function msys.registerModule(name, module) end

---@param message? table
function msys.validate(message) end

---@class weir.msys.thread
---@field MUTEX_NORMAL integer
---@field MUTEX_RECURSIVE integer
---@field MUTEX_ERRORCHECK integer
local thread = {}

---@param kind? integer
---@return weir.mutex
function thread.mutex(kind) end

---@class weir.msys.threadpool
local threadpool = {}

---@param name string
---@param given { concurrency?: integer, stack_size?: integer, backlog?: integer }
---@return boolean? configured
---@return string? why
function threadpool.configure(name, given) end

---@return integer
function threadpool.count() end

---@param which string|integer
---@return string|integer|nil
function threadpool.find(which) end

---@param which string|integer
---@return table?
function threadpool.stat(which) end

---@class weir.msys.timer
local timer = {}

---@class weir.msys.timer.handle
local handle = {}

---@param seconds number
---@param f fun()
---@param name? string
---@return weir.msys.timer.handle
function timer.after(seconds, f, name) end

---@param time number as of os.time
---@param f fun()
---@param name? string
---@return weir.msys.timer.handle
function timer.at(time, f, name) end

---@param seconds number
---@param f fun()
---@param name? string
---@return weir.msys.timer.handle
function timer.every(seconds, f, name) end

function handle:start() end

---@return boolean
function handle:stop() end

---@return string?
function handle:name() end

return msys
