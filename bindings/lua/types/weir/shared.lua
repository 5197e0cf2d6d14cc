---@meta weir.shared
-- SPDX-License-Identifier: ISC

---@class weir.shared
local shared = {}

---@param key string
---@return any
function shared.get(key) end

---@param key string
---@param value any
function shared.set(key, value) end

---@param key string
---@param fn fun(value: any): any
---@return any
function shared.update(key, fn) end

---@param key string
---@param make fun(): any
---@return any
function shared.once(key, make) end

---@param key string
---@param n number
---@return number? sum
---@return string? why
function shared.add(key, n) end

---@param key string
---@return integer
function shared.version(key) end

return shared
