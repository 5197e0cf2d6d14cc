-- SPDX-License-Identifier: ISC
--
-- first.lua [URL]: a job and its handler in one program. With local: (the default) nothing else is
-- needed. With amqp://... the queues must be there: weir-remote-setup URL shout

local remote = require "weir.remote"
local url = arg[1] or "local:first"

local server = assert(remote.serve {
  url = url,
  pool = { threads = 2 },
  jobs = {
    shout = function(text, marks) return text:upper() .. ("!"):rep(marks) end,
  },
})

local farm = assert(remote.open { url = url })
print(farm:task({ timeout = 30 }):run("shout", "hello", 2):get()) -- true, and what it returned

farm:close()
server:close()
