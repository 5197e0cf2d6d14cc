-- SPDX-License-Identifier: ISC
--
-- untrusted.lua: a worker that runs a text as code; it keeps one right, to load text.

pledge("load", "seal")
local f = assert((loadstring or load)(...))
worker.message(f())
