-- SPDX-License-Identifier: ISC

--- The workers of Lus 1.6.2, for plain Lua: scripts that run in states of their own, side
-- by side, and talk by messages.
--
--    local worker = require "weir.worker"
--    local w = worker.create("square.lua")
--    worker.send(w, 12)
--    print(worker.receive(w)) -- 144
--
-- where square.lua is `global worker` (a first line that is skipped), and
-- `worker.message(worker.peek() ^ 2)`: a worker's script finds these functions in the
-- global `worker`.
--
-- **What differs from Lus 1.6.2**, besides that a module must be required:
--
-- - Any number of workers run on as many threads as there are CPUs (at most 32). One that
--   waits in its main chunk leaves its thread, and may go on on another one: mind that with
--   C modules that keep data by thread. Where it cannot leave (in a coroutine of its own,
--   below a C function; on Lua 5.1 also below pcall, metamethods, iterators and tail calls)
--   it blocks, and up to 256 spare threads start. Past them the wait raises "would
--   deadlock: pool 'worker', N of N threads wait". There a waiting worker keeps its thread,
--   and more workers than CPUs hang.
-- - Messages come first, then a worker's error, once, then nil. There the error overtakes
--   the messages and comes again and again.
-- - receive looks first at the worker after the one that it served last; there always at
--   its first argument.
-- - Messages keep identity and cycles, to any depth; there two references to one table
--   arrive as two, a cycle or a nesting of 20 corrupts memory.
-- - Nobody waits for a worker at the program's end, or when a handle is collected.
-- - peek raises when nothing can come any more: "worker.peek: the parent has ended",
--   "worker.peek: nobody holds this worker any more" (the last handle was collected).
-- - A worker's state is closed before the worker is dead, on a thread of the workers.
-- - receive under an event loop (Copas, luv, cqueues) suspends only its coroutine.
-- - os.exit in a worker raises. A yield of its main chunk ends it with an error.
-- - At most 16384 workers live at a time; one more is an error of create.
-- - pledge: everybody starts with all rights and only gives some up; there nobody has any
--   and asks for them. A call keeps of what the state had only what it names; a worker's set
--   is not sealed from the start. All coroutines of a state share its set. `network` is held
--   whole or not at all.
-- - Ours alone: receive_within, close, and the options of create.
--
-- **Threads**: a handle belongs to the state that made it. It cannot be sent in a message,
-- but as an argument to a task of a weir.pool, whose state may then use it, too.
-- @module weir.worker

--- Starts a worker.
-- @function create
-- @tparam string|table path of its script; or a table with that as `path`, and
--   `limit` (a number, none by default): how many messages may wait, in each direction;
--   `on_full` ("wait"): send and message wait while there are so many, or with "refuse"
--   return nil and "full", and otherwise true
-- @param ... copied; the script's `...`. Raises when one is no data: a function, userdata
--   (a worker, too) or coroutine, also inside tables. Metatables are dropped
-- @return a handle. That the script cannot be loaded is an error of the worker

--- Whether it has ended.
-- @function status
-- @param w a worker
-- @treturn string "dead" when its script has returned or failed, or could not be loaded;
--   else "running". What it sent can be received all the same

--- Waits for a message of one of the workers, or until all are dead and nothing of them is
-- left.
-- @function receive
-- @param ... workers, one or more
-- @return a value for each of them: the message of the one that had one, else nil. Raises a
--   worker's error (text) once, when none of them has a message

--- The same, but waits no longer than so many seconds.
-- @function receive_within
-- @tparam number seconds 0 or more
-- @param ... workers, one or more
-- @return as receive; only nils when the time has passed

--- Sends a value to a worker. What a dead one is sent is lost.
-- @function send
-- @param w a worker
-- @param value data, see create; it is copied now. Raises when it is none
-- @return nothing; see create for queues with a limit

--- Ends what a worker is sent: when it has read what is there, its peek raises
-- "worker.peek: the worker was closed".
-- @function close
-- @param w a worker

--- In a worker: sends a value to whoever holds it.
-- @function message
-- @param value as for send
-- @return nothing; see create for queues with a limit

--- In a worker: takes the oldest message that it was sent, and waits for one.
-- @function peek
-- @return the message. Raises when none can come any more, see above

--- Gives up rights, for good; a worker's script finds it as a global, too. Whoever calls it
-- keeps of what it may do only what it names, less what it names after "~"; workers that it
-- creates may do no more.
--
--    pledge("load", "fs:read=lib/*", "seal") -- only that, and no further change
--    pledge("~exec", "~network")             -- all that it may do now, but those
--
-- The rights: `fs`, `fs:read`, `fs:write` (with a pattern: `fs:read=/data/*`, compared with
-- paths without links and dots; `*` matches `/`, too), `load` (load, require, dofile, create),
-- `exec` (os.execute, io.popen), `env` (os.getenv; `env=LC_*`), `network`. `~all` gives up
-- everything, `seal` any later change.
--
-- What has pledged is restricted for good, whatever it kept: it loads no bytecode and no C
-- module, has neither ffi nor debug but debug.traceback, no pools and no run_in_main. `network`
-- can only be given up: what C modules that were loaded before can do, they still can.
--
-- `require "weir.worker"` has functions of Lua's library ask for the rights at every call:
-- so a reference that was taken after it is bound, also if it is older than the pledge. Until
-- then they are as they were.
-- @function pledge
-- @tparam string ... rights. Raises when one is none
-- @treturn boolean for each: whether it is held (or is given up) now. Once sealed only false

return require "weir.actor"
