(* SPDX-License-Identifier: ISC
   The loop has one main. The engine watches its descriptor; whatever comes back
   resolves promises inside its dispatch, on the loop's thread. *)

type loop = {
  main : Weir.Main.t;
  thread : int;
  mutable engine : Lwt_engine.t;
  mutable watch : Lwt_engine.event;
}

let loop : loop option ref = ref None

(* One turn of the loop delivers no more than this, to stay fair to the rest. *)
let most = 512
let self () = Thread.id (Thread.self ())
let uncaught exn _ = !Lwt.async_exception_hook exn

let watch main engine =
  engine#on_readable (Weir.Main.fd main) (fun _ -> ignore (Weir.Main.dispatch ~max:most main))

let open_loop () =
  let main = Weir.Main.create ~uncaught () in
  let engine = Lwt_engine.get () in
  let l = { main; thread = self (); engine; watch = watch main engine } in
  loop := Some l;
  l

(* Lwt_engine.set may or may not have taken our watch along. *)
let follow l engine =
  Lwt_engine.stop_event l.watch;
  l.engine <- engine;
  l.watch <- watch l.main engine

let wrong_thread who =
  invalid_arg (who ^ ": not on the thread that runs the loop; go there with run_in_main")

let main who =
  let l =
    match !loop with
    | Some l -> if l.thread = self () then l else wrong_thread who
    | None -> open_loop ()
  in
  let engine = Lwt_engine.get () in
  if engine != l.engine then follow l engine;
  l.main

(* Coming back *)

(* Whoever looks at the backtrace in the first handler sees the worker's. *)
let reject resolver exn trace =
  if Printexc.backtrace_status () then
    try Printexc.raise_with_backtrace exn trace with exn -> Lwt.wakeup_later_exn resolver exn
  else Lwt.wakeup_later_exn resolver exn

let resolve ~closed resolver : _ Weir.Future.outcome -> unit = function
  | Value x -> Lwt.wakeup_later resolver x
  | Raised (exn, trace) -> reject resolver exn trace
  | Canceled -> Lwt.wakeup_later_exn resolver Lwt.Canceled
  | Closed -> Lwt.wakeup_later_exn resolver closed
  | Expired -> Lwt.wakeup_later_exn resolver Weir.Expired
  | Full -> Lwt.wakeup_later_exn resolver Weir.Full

let opened resolver = function
  | Ok x -> Lwt.wakeup_later resolver x
  | Error (exn, trace) -> reject resolver exn trace

let close who ?mode pool =
  let promise, resolver = Lwt.wait () in
  Weir.Pool.close_async ?mode ~main:(main who) pool (Lwt.wakeup_later resolver);
  promise

(* Calling back *)

let end_call reply promise =
  let finish = Weir.Main.finish reply in
  Lwt.on_any promise
    (fun x -> finish (Ok x))
    (fun exn -> finish (Error (exn, Printexc.get_callstack 0)))

let start f reply =
  match f () with
  | promise -> end_call reply promise
  | exception exn -> Weir.Main.finish reply (Error (exn, Printexc.get_raw_backtrace ()))

let run_in_main who f =
  match !loop with
  | None -> invalid_arg (who ^ ": the loop's thread has made no pool yet")
  | Some l when l.thread = self () ->
      invalid_arg (who ^ ": on the loop's thread, which would wait for itself")
  | Some l -> Weir.Main.call ~main:l.main (start f)
