---@meta weir.loop
-- SPDX-License-Identifier: ISC

---@class weir.loop.candidate
---@field name? string
---@field owns fun(co: thread): boolean?
---@field suspend fun(co: thread, timeout: number?)
---@field resume fun(co: thread)
---@field watch? fun(fd: integer, fn: fun()): fun()?
---@field spawn? fun(fn: function, ...: any)
---@field present? fun(): boolean?

---@class weir.loop
---@field block weir.loop.candidate
---@field copas weir.loop.candidate
---@field luv weir.loop.candidate
---@field cqueues weir.loop.candidate
local loop = {}

---@param candidate weir.loop.candidate
function loop.register(candidate) end

---@param candidate? weir.loop.candidate
function loop.use(candidate) end

---@return thread?
function loop.running() end

---@param co? thread
---@return weir.loop.candidate
function loop.of(co) end

---@param co? thread
---@return weir.loop.candidate
function loop.to_hold(co) end

---@return boolean
function loop.is_there() end

---@param candidate weir.loop.candidate
---@param timeout? number seconds
---@param fd? integer
function loop.turn(candidate, timeout, fd) end

---@param co? thread
---@return weir.owner?
function loop.owner(co) end

---@return integer
function loop.pending() end

---@return number seconds
function loop.clock() end

---@param fn? fun()
function loop.before_block(fn) end

return loop
