(* SPDX-License-Identifier: ISC
   exit in a task would end the process while the loop runs, and would run the loop's
   at_exit hooks on the wrong thread. This hook is installed with the first pool, so it
   runs before all hooks that were there. On a pool's thread it installs itself again and
   raises. On another thread it ends the calls whose functions called exit. *)

let message =
  "exit called on a thread of a weir pool: call it on the program's main thread, by run_in_main"

let rec hook () =
  if Raw.on_pool_thread () then begin
    at_exit hook;
    failwith message
  end
  else Main.exiting ()

let installed = Atomic.make false
let install () = if not (Atomic.exchange installed true) then at_exit hook
