---@meta weir.log
-- SPDX-License-Identifier: ISC

---@class weir.log
local log = {}

---@param file? string
---@param name? string
---@return fun(text: string, ...: any): boolean?, string?
function log.to(file, name) end

return log
