-- SPDX-License-Identifier: ISC
--
-- weir.lus.actor: the functions of weir.worker. They are in C; this file lets an operation
-- wait where C cannot: under a loop, or while this state's mailbox has something to serve.

local block = require "weir.loop.block"
local loops = require "weir.loop"
local lus = require "weir.lus.core"
local mailbox = require "weir.mailbox"

local function wait_once(op, waiter)
  local key = lus.op_arm(op)
  if not key then return end -- something has come
  mailbox.expect(key, waiter)
  if waiter.loop == block then
    local problem = lus.op_block(op)
    if problem then error(problem, 0) end
    mailbox.deliver(block)
  else
    mailbox.hold(waiter.loop)
    waiter.loop.suspend(waiter.co, lus.op_left(op))
  end
  mailbox.forget(key, waiter)
end

local function finish(op, waiter, ok, ...)
  if ok ~= nil then return ok, ... end
  wait_once(op, waiter)
  return finish(op, waiter, lus.op_try(op))
end

lus.set_suspender(function(op)
  local co = loops.running()
  return finish(op, { co = co, loop = lus.op_in_main(op) and block or loops.of(co) })
end)

return lus.functions()
