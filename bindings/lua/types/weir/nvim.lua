---@meta weir.nvim
-- SPDX-License-Identifier: ISC

---@class weir.nvim
local nvim = {}

---@class weir.nvim.options: weir.pool.options
---@field cancellable? boolean
---@field exit_timeout? number seconds

---@param given? weir.nvim.options
---@return weir.nvim.pool? pool
---@return string? problem
function nvim.pool(given) end

function nvim.stop() end

---@class weir.nvim.pool
local nvim_pool = {}

---@param f function
---@param ... any
---@return weir.future? future
---@return string? problem
function nvim_pool:run(f, ...) end

function nvim_pool:cancel_all() end

---@param how? weir.close.options
---@return boolean? ok
---@return any problem
function nvim_pool:close(how) end

---@param how? weir.close.options
---@return weir.future? future
---@return string? problem
function nvim_pool:close_async(how) end

---@return table
function nvim_pool:stats() end

---@param min integer
---@param max? integer
---@return boolean? ok
---@return string? problem
function nvim_pool:resize(min, max) end

return nvim
