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

(* What Lwt lets through, or its hook raises, leaves the dispatch, and so Lwt_main.run. *)

(* Lwt's own, where it has one: before 5.7 it caught everything. *)
module Exception_filter = struct
  let run (_ : exn) = true [@@ocaml.warning "-32"]
end

let is_caught exn =
  let open! Lwt in
  Exception_filter.run exn

exception Let_through of exn * Printexc.raw_backtrace

(* Around what resolves a promise: Lwt has seen what comes out of it. *)
let through f x =
  try f x with exn -> raise (Let_through (exn, Printexc.get_raw_backtrace ()))

let uncaught exn trace =
  match exn with
  | Let_through (exn, trace) -> Printexc.raise_with_backtrace exn trace
  | exn when is_caught exn -> !Lwt.async_exception_hook exn
  | exn -> Printexc.raise_with_backtrace exn trace

let watch main engine =
  engine#on_readable (Weir.Main.fd main) (fun _ -> ignore (Weir.Main.dispatch ~max:most main))

let open_loop () =
  let main = Weir.Main.create ~uncaught () in
  let rouse () = Weir.Main.rouse main in
  ignore (Lwt_main.Enter_iter_hooks.add_first rouse);
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

(* [wakeup] and not [wakeup_later], which may put the callbacks off: once a callback's
   exception has left Lwt_main.run, Lwt 5 puts them off for ever. *)
let wake resolver x = through (Lwt.wakeup resolver) x
let wake_exn resolver exn = through (Lwt.wakeup_exn resolver) exn

(* Whoever looks at the backtrace in the first handler sees the worker's. *)
let reject resolver exn trace =
  if Printexc.backtrace_status () then
    try Printexc.raise_with_backtrace exn trace with exn -> wake_exn resolver exn
  else wake_exn resolver exn

let resolve ~closed resolver : _ Weir.Future.outcome -> unit = function
  | Value x -> wake resolver x
  | Raised (exn, trace) -> reject resolver exn trace
  | Canceled -> wake_exn resolver Lwt.Canceled
  | Closed -> wake_exn resolver closed
  | Expired -> wake_exn resolver Weir.Expired
  | Full -> wake_exn resolver Weir.Full

let opened resolver = function
  | Ok x -> wake resolver x
  | Error (exn, trace) -> reject resolver exn trace

let close who ?mode pool =
  let promise, resolver = Lwt.wait () in
  Weir.Pool.close_async ?mode ~main:(main who) pool (wake resolver);
  promise

(* Calling back *)

let end_call reply promise =
  let finish = Weir.Main.finish reply in
  Lwt.on_any promise
    (fun x -> finish (Ok x))
    (fun exn -> finish (Error (exn, Printexc.get_callstack 0)))

(* What Lwt would not catch is told to the caller, who must not wait for ever, and goes on
   to leave the loop. *)
let start f reply =
  match f () with
  | promise -> end_call reply promise
  | exception exn ->
      let trace = Printexc.get_raw_backtrace () in
      Weir.Main.finish reply (Error (exn, trace));
      if not (is_caught exn) then Printexc.raise_with_backtrace exn trace

let run_in_main who f =
  match !loop with
  | None -> invalid_arg (who ^ ": no loop is known; call Weir_lwt.main () on its thread before")
  | Some l when l.thread = self () ->
      invalid_arg (who ^ ": on the loop's thread, which would wait for itself")
  | Some l -> Weir.Main.call ~who ~main:l.main (start f)
