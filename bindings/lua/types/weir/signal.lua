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

---@param name "HUP"|"INT"|"TERM"|"USR1"|"USR2"|"WINCH"
---@param timeout? number
---@return boolean? came
---@return string? why
function signal.wait(name, timeout) end

---@param timeout? number
---@return boolean came
---@return "released"? why
function catcher:wait(timeout) end

function catcher:drain() end

---@return boolean
function catcher:take() end

function catcher:release() end

return signal
