-- SPDX-License-Identifier: ISC
--
-- reachable.lua: the C functions that a worker's state can reach, on all Luas, as walk.lua names
-- them, and why each may be there. test_worker_reach compares: a function that is not listed here
-- fails it until somebody has judged it, with its source in hand.

local function words(text)
  local set = {}
  for word in text:gmatch "%S+" do set[word] = true end
  return set
end

return {
  -- They ask for a right at each call, or are closed to a restricted state.
  guarded = words [[
    load loadfile loadstring dofile require print warn
    package.loadlib package.searchpath package.searchers.2 package.searchers.3 package.searchers.4
    package.loaders.2 package.loaders.3 package.loaders.4
    io.close io.flush io.input io.lines io.open io.output io.popen io.read io.tmpfile io.write
    file:.__index.close file:.__index.flush file:.__index.lines file:.__index.read file:.__index.seek
    file:.__index.setvbuf file:.__index.write
    file:.close file:.flush file:.lines file:.read file:.seek file:.setvbuf file:.write
    os.execute os.getenv os.remove os.rename os.setlocale os.tmpname
    debug.debug debug.getfenv debug.gethook debug.getinfo debug.getlocal debug.getmetatable
    debug.getregistry debug.getupvalue debug.getuservalue debug.setcstacklimit debug.setfenv
    debug.sethook debug.setlocal debug.setmetatable debug.setupvalue debug.setuservalue debug.upvalueid
    debug.upvaluejoin
    jit.attach jit.flush jit.off jit.on jit.opt.start jit.prngstate jit.security jit.status
    package.preload.weir.core package.preload.weir.lus.core
    registry._PRELOAD.weir.core registry._PRELOAD.weir.lus.core
    registry._PRELOAD.ffi registry._PRELOAD.jit.profile registry._PRELOAD.jit.util
    registry._PRELOAD.string.buffer
    registry._PRELOAD.thread.exdata registry._PRELOAD.thread.exdata2 ]],

  -- They reach values of their own state only: they take and give what Lua code could make itself.
  -- string.dump gives bytecode, which a restricted state cannot load; setfenv and getfenv refuse C
  -- functions; the metamethods of strings do arithmetic.
  language = words [[
    assert collectgarbage error gcinfo getfenv getmetatable ipairs ipairs^ module newproxy next pairs
    pcall rawequal rawget rawlen rawset select setfenv setmetatable tonumber tostring type unpack xpcall
    package.seeall package.loaders.1 package.searchers.1
    coroutine.close coroutine.create coroutine.isyieldable coroutine.resume coroutine.running
    coroutine.status coroutine.wrap coroutine.yield
    bit.arshift bit.band bit.bnot bit.bor bit.bswap bit.bxor bit.lshift bit.rol bit.ror bit.rshift
    bit.tobit bit.tohex
    bit32.arshift bit32.band bit32.bnot bit32.bor bit32.btest bit32.bxor bit32.extract bit32.lrotate
    bit32.lshift bit32.replace bit32.rrotate bit32.rshift
    math.abs math.acos math.asin math.atan math.atan2 math.ceil math.cos math.cosh math.deg math.exp
    math.floor math.fmod math.frexp math.ldexp math.log math.log10 math.max math.min math.modf math.pow
    math.rad math.random math.randomseed math.sin math.sinh math.sqrt math.tan math.tanh math.tointeger
    math.type math.ult
    string.byte string.char string.dump string.find string.format string.gfind string.gmatch string.gsub
    string.len string.lower string.match string.pack string.packsize string.rep string.reverse string.sub
    string.unpack string.upper
    string:.__add string:.__div string:.__idiv string:.__mod string:.__mul string:.__pow string:.__sub
    string:.__unm
    table.concat table.foreach table.foreachi table.getn table.insert table.maxn table.move table.pack
    table.remove table.setn table.sort table.unpack table.create
    registry._PRELOAD.table.clear registry._PRELOAD.table.clone registry._PRELOAD.table.isarray
    registry._PRELOAD.table.isempty registry._PRELOAD.table.new registry._PRELOAD.table.nkeys
    utf8.char utf8.codepoint utf8.codes utf8.len utf8.offset ]],

  -- They tell the time, which no right binds; they tell what a file is, or let go of it.
  harmless = words [[
    os.clock os.date os.difftime os.time io.type
    file:.__close file:.__gc file:.__gc^ file:.__tostring ]],

  -- The functions of weir.worker, which ask for themselves; os.exit of a worker, which raises. On
  -- 5.1 they stand behind functions in Lua.
  worker = words [[
    pledge os.exit worker.pledge
    worker.close worker.create worker.message worker.peek worker.receive worker.receive_within worker.send
    worker.status worker.traceback
    worker.close^ worker.close^^ worker.create^ worker.message^ worker.peek^ worker.receive^
    worker.receive_within^ worker.send^ worker.status^ worker.traceback^ ]],

  -- Reachable by the debug library alone, so not after a pledge: finalizers, each of which checks
  -- its argument; the originals behind a function of ours; who called the script.
  registry = words [[
    registry.<userdata> registry.<userdata>:meta.__gc registry.<userdata>.env.__close
    registry._CLIBS:meta.__gc registry._LOADLIB.__gc registry._UBOX*.__close registry._UBOX*.__gc
    registry.1.called registry.3.called io.stderr.user.__close
    io.close^ io.popen^ file:.close^
    registry.weir.op.__gc registry.weir.worker.__gc registry.weir.worker.__tostring
    registry.weir.call.__gc registry.weir.future.__gc registry.weir.mutex.__gc registry.weir.owner.__gc
    registry.weir.packed.__gc registry.weir.pool.__gc registry.weir.progress.__gc^
    registry.weir.signal.__gc ]],

  -- Of weir.core, in a state that had loaded it before: they refuse a restricted state themselves.
  asks = words [[
    append await_input catch job keep_sigpipe metrics mutex_holder mutex_lock mutex_new mutex_trylock open pack
    post progress_new resize run shared_add shared_get shared_set shared_version slice
    submit watcher ]],

  -- They act on what the state holds already, or on its own waits. run_in_main refuses outside of a
  -- task; close ends what its holder opened; what queue makes goes the slow way, to run, in a restricted
  -- state.
  own = words [[
    blocking_begin blocking_end c_function call_works cancel cancel_all cancelled clock close_async close_blocking
    dispatch fail
    failed failure fd finish held in_pool in_task is_future is_mutex is_own is_owner is_pool key line_up mail
    mutex_unlock name note_failure on_call on_cancel on_unhandled over owner_end owner_new pending poll polled
    percentile progress_is_wanted progress_key progress_sentinel queue register run_in_main running sighting slot
    space stats take times told traceback
    turn turned unpack wait waits watch
    functions op_arm op_block op_in_main op_left op_try set_suspender
    signal_held signal_release ]],

  -- Methods, in registry.weir.*
  own_methods = words [[ packed.size signal.drain signal.fd signal.release signal.take packed.unpack ]],
}
