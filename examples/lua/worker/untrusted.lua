-- SPDX-License-Identifier: ISC
--
-- untrusted.lua: a worker that runs a text; of its rights it keeps one, to load text.

pledge("load", "seal")
local f = assert((loadstring or load)(...))
worker.message(f())
