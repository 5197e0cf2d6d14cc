---@meta weir.thread
-- SPDX-License-Identifier: ISC

---@class weir.thread
local thread = {}

---@class weir.thread.handle
local handle = {}

---@param f function
---@param ... any
---@return weir.thread.handle
function thread.create(f, ...) end

---@return weir.thread.handle?
function thread.current() end

---@param threads weir.thread.handle[]
---@param timeout? number seconds
---@return boolean? done
---@return string? why
function thread.waitForAll(threads, timeout) end

---@param threads weir.thread.handle[]
---@param timeout? number seconds
---@return boolean? done
---@return string? why
function thread.waitForAny(threads, timeout) end

---@param f function|string a path
---@param ... any
---@return number code
function thread.run(f, ...) end

---@param seconds? number
function thread.sleep(seconds) end

---@param code? number|boolean
function thread.exit(code) end

---@return "running"|"suspended"|"dead"
function handle:status() end

---@return boolean? resumed
---@return string? why
function handle:resume() end

---@return boolean? suspended
---@return string? why
function handle:suspend() end

function handle:kill() end

---@param timeout? number seconds
---@return boolean? done
---@return string? why
function handle:join(timeout) end

---@param level? integer
---@return weir.thread.handle? self
---@return string? why
function handle:attach(level) end

---@return weir.thread.handle
function handle:detach() end

return thread
