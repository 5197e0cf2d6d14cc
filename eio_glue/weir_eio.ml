(* SPDX-License-Identifier: ISC
   Promises of Eio for pools. Eio's promises may be resolved on any thread, so tasks have no
   main: the thread that settles a task resolves the promise. *)

open Eio

type 'state t = 'state Weir.Pool.t

(* Of something that will call its argument on some thread. *)
let await_call start =
  let promise, resolver = Promise.create () in
  start (Promise.resolve resolver);
  promise

let close ?mode pool =
  let closed = await_call (fun k -> Weir.Pool.close_async ?mode pool k) in
  Cancel.protect (fun () -> Promise.await closed)

let create ~sw ?name ?threads_max ?idle ?max_blocked ?queue_limit ?measure ?tick_ms ?kind ~threads
    ~init ~at_exit () =
  Switch.check sw;
  let opened =
    await_call
      (Weir.Pool.create_async ~who:"Weir_eio.create" ?name ?threads_max ?idle ?max_blocked
         ?queue_limit ?measure ?tick_ms ?kind ~threads ~init ~at_exit)
  in
  match Cancel.protect (fun () -> Promise.await opened) with
  | Error (exn, trace) -> Printexc.raise_with_backtrace exn trace
  | Ok pool ->
      Switch.on_release sw (fun () -> close pool);
      pool

let run ?priority ?start_within pool f =
  let future = Weir.Pool.run ?priority ?start_within pool f in
  let settled = await_call (Weir.Future.on_settle future) in
  match Promise.await settled with
  | outcome -> Weir.Future.value outcome
  | exception (Cancel.Cancelled _ as exn) ->
      ignore (Weir.Future.cancel future);
      raise exn

let run_promise ~sw ?priority ?start_within pool f =
  Fiber.fork_promise ~sw (fun () -> run ?priority ?start_within pool f)
