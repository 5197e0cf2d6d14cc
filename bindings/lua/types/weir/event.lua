---@meta weir.event
-- SPDX-License-Identifier: ISC

---@class weir.event
---@field logPath string?
local event = {}

---@param name string
---@param ... any
---@return boolean
function event.push(name, ...) end

---@overload fun(name?: string, ...: any): string?, ...
---@param timeout? number seconds
---@param name? string
---@param ... any
---@return string? name
---@return any ...
function event.pull(timeout, name, ...) end

---@overload fun(...: string): string?, ...
---@param timeout? number seconds
---@param ... string
---@return string? name
---@return any ...
function event.pullMultiple(timeout, ...) end

---@overload fun(accepts?: fun(...): boolean): string?, ...
---@param timeout? number seconds
---@param accepts? fun(...): boolean
---@return string? name
---@return any ...
function event.pullFiltered(timeout, accepts) end

---@param name string
---@param callback fun(...): boolean?
---@return integer|false id
function event.listen(name, callback) end

---@param name string
---@param callback function
---@return boolean
function event.ignore(name, callback) end

---@param interval number seconds
---@param callback fun(): boolean?
---@param times? number
---@return integer id
function event.timer(interval, callback, times) end

---@param id integer
---@return boolean
function event.cancel(id) end

---@param message any
---@param traceback? string
function event.onError(message, traceback) end

---@return number seconds
function event.uptime() end

return event
