(* SPDX-License-Identifier: ISC
   The loop has one main, whose descriptor the engine watches. What comes back resolves
   promises inside its dispatch, on the loop's thread. *)

type loop = {
  main : Weir.Main.t;
  thread : int;
  mutable engine : Lwt_engine.t;
  mutable watch : Lwt_engine.event;
}

let loop : loop option ref = ref None

(* One iteration of the loop delivers no more than this, so that other events get their turn. *)
let most = 512
let self () = Thread.id (Thread.self ())

(* An exception that Lwt lets through, or that its hook raises, leaves the dispatch, and with it
   Lwt_main.run. *)

(* Lwt has an Exception_filter from 5.7 on. Before, it caught every exception. *)
module Exception_filter = struct
  let run (_ : exn) = true [@@ocaml.warning "-32"]
end

let is_caught exn =
  let open! Lwt in
  Exception_filter.run exn

exception Let_through of exn * Printexc.raw_backtrace

(* Around what resolves a promise: Lwt has already filtered an exception that leaves it. *)
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

(* Lwt_engine.set may have moved our watch to the new engine, or not. *)
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

(* Results *)

(* [wakeup] and not [wakeup_later], which may put the callbacks off: after a callback's
   exception has left Lwt_main.run, Lwt 5 would never call them. *)
let wake resolver x = through (Lwt.wakeup resolver) x
let wake_exn resolver exn = through (Lwt.wakeup_exn resolver) exn

(* The first handler that asks for the backtrace gets that of the task. *)
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

let resolve_with ~closed future resolver =
  Weir.Future.on_settle future (resolve ~closed resolver)

(* Lwt rejects a cancelled promise at once. The task goes on if it runs already, so its caller
   gets a promise of the result. *)
let unless_taken_back ~closed future exn =
  match exn with
  | Lwt.Canceled when Weir.Future.cancel future <> `Taken_back ->
      let promise, resolver = Lwt.wait () in
      resolve_with ~closed future resolver;
      promise
  | exn -> Lwt.fail exn

let promise ~closed future =
  let promise, resolver = Lwt.task () in
  resolve_with ~closed future resolver;
  Lwt.catch (fun () -> promise) (unless_taken_back ~closed future)

let opened resolver = function
  | Ok x -> wake resolver x
  | Error (exn, trace) -> reject resolver exn trace

let close who ?mode pool =
  let promise, resolver = Lwt.wait () in
  Weir.Pool.close_async ?mode ~main:(main who) pool (wake resolver);
  promise

(* Calls *)

let end_call reply promise =
  let finish = Weir.Main.finish reply in
  Lwt.on_any promise
    (fun x -> finish (Ok x))
    (fun exn -> finish (Error (exn, Printexc.get_callstack 0)))

(* An exception that Lwt would not catch goes to the caller, who would wait for ever
   otherwise, and then leaves the loop. *)
let start f reply =
  match f () with
  | promise -> end_call reply promise
  | exception exn ->
      let trace = Printexc.get_raw_backtrace () in
      Weir.Main.finish reply (Error (exn, trace));
      if not (is_caught exn) then Printexc.raise_with_backtrace exn trace

let known who = function
  | None -> invalid_arg (who ^ ": no loop is known; call Weir_lwt.main () on its thread before")
  | Some l -> l

let is_known () = !loop <> None

let run_in_main who f =
  let l = known who !loop in
  if l.thread = self () then
    invalid_arg (who ^ ": on the loop's thread, which would wait for itself");
  Weir.Main.call ~who ~main:l.main (start f)

let run_in_main_dont_wait who f handler =
  let handle exn =
    handler exn;
    Lwt.return_unit
  in
  Weir.Main.post ~main:(known who !loop).main (fun () -> ignore (Lwt.catch f handle))
