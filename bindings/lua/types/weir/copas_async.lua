---@meta weir.copas_async
-- SPDX-License-Identifier: ISC

---@class weir.copas_async
---@field PENDING false
---@field SUCCESS true
---@field ERROR "error"
---@field cancel_timeout number seconds
---@overload fun(fn: function): boolean, ...
local copas_async = {}

---@param fn function
---@return weir.copas_async.future
function copas_async.addthread(fn) end

---@param fn function
---@return boolean ok
---@return any ...
function copas_async.run(fn) end

---@param command? string
---@return boolean ok
---@return any ...
function copas_async.os_execute(command) end

---@param command string
---@param mode? "r"|"w"
---@return weir.copas_async.descriptor
function copas_async.io_popen(command, mode) end

---@class weir.copas_async.future
---@field lane { status: "running"|"done"|"cancelled" }
---@overload fun(): boolean, ...
local future = {}

---@return boolean ok
---@return any ...
function future:get() end

---@return boolean|"error" status
---@return any ...
function future:try() end

---@return boolean cancelled
function future:cancel() end

---@class weir.copas_async.descriptor
local descriptor = {}

---@param ... string|integer
---@return any ...
function descriptor:read(...) end

---@param ... string|number
---@return any ...
function descriptor:write(...) end

---@return boolean? ok
---@return any ...
function descriptor:close() end

---@param ... string|integer
---@return fun(): any
function descriptor:lines(...) end

return copas_async
