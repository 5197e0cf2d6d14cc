(* SPDX-License-Identifier: ISC
   exit in a task would end the process under the loop's feet, and run the loop's
   own at_exit hooks on the wrong thread. This hook runs before those that were
   there when the first pool was made, raises on pool threads, and stands again. On
   another thread it ends the calls whose functions called exit. *)

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
