global worker
-- SPDX-License-Identifier: ISC
--
-- square.lua: a worker that answers once.

local n = worker.peek()
worker.message(n * n)
