---@meta weir.luv_work
-- SPDX-License-Identifier: ISC

-- Every other field is luv's.
---@class weir.luv_work: uv
local luv_work = {}

---@class weir.luv_work.options
---@field pool? weir.pool
---@field on_error? fun(problem: any, traceback?: string)

---@class weir.luv_work.work
local work = {}

---@param ... any
---@return boolean? queued
---@return string? problem
function work:queue(...) end

---@param fn function|string
---@param after fun(...)
---@param given? weir.luv_work.options
---@return weir.luv_work.work
function luv_work.new_work(fn, after, given) end

---@param self weir.luv_work.work
---@param ... any
---@return boolean? queued
---@return string? problem
function luv_work.queue_work(self, ...) end

---@return weir.pool? pool
---@return string? problem
function luv_work.pool() end

---@param fn fun(handle: userdata)
function luv_work.walk(fn) end

return luv_work
