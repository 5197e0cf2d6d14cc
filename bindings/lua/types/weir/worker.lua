---@meta weir.worker
-- SPDX-License-Identifier: ISC

---@class weir.worker
local worker = {}

---@class weir.worker.handle: userdata

---@class weir.worker.options
---@field path string
---@field memory? number
---@field steps? number
---@field time? number
---@field limit? number
---@field on_full? "wait"|"refuse"

---@param path string|weir.worker.options
---@param ... any
---@return weir.worker.handle
function worker.create(path, ...) end

---@param w weir.worker.handle
---@return "running"|"dead"
function worker.status(w) end

---@param w weir.worker.handle
---@return string? traceback
function worker.traceback(w) end

---@param ... weir.worker.handle
---@return any ...
function worker.receive(...) end

---@param seconds number
---@param ... weir.worker.handle
---@return any ...
function worker.receive_within(seconds, ...) end

---@param w weir.worker.handle
---@param value any
---@return boolean? sent
---@return "full"|nil why
function worker.send(w, value) end

---@param w weir.worker.handle
---@param how? "now"
function worker.close(w, how) end

---@param value any
---@return boolean? sent
---@return "full"|nil why
function worker.message(value) end

---@return any
function worker.peek() end

---@param ... string
---@return boolean ...
function worker.pledge(...) end

---@param ... string
---@return boolean ...
function worker.pledge(...) end

return worker
