---@meta weir.signal
-- SPDX-License-Identifier: ISC

---@class weir.signal
local signal = {}

function signal.keep_pipe() end

---@class weir.signal.catcher
local catcher = {}

---@param name "HUP"|"INT"|"TERM"|"USR1"|"USR2"|"WINCH"
---@return weir.signal.catcher? catcher
---@return string? why
function signal.catch(name) end

---@return integer
function catcher:fd() end

function catcher:drain() end

---@return boolean
function catcher:take() end

function catcher:release() end

return signal
