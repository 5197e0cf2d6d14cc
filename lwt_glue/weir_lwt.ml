(* SPDX-License-Identifier: ISC
   Promises for pools. *)

type 'state t = 'state Weir.Pool.t
type mode = Weir.Pool.mode

exception Closed = Weir.Closed
exception Full = Weir.Full
exception Timeout

let () = Printexc.register_printer (function Timeout -> Some "Weir_lwt.Timeout" | _ -> None)
let main () = Weir_loop.main "Weir_lwt.main"
let check who what ok = if not ok then invalid_arg (who ^ ": " ^ what)

(* Running *)

let pending promise =
  match Lwt.state promise with Lwt.Sleep -> true | Return _ | Fail _ -> false

let give_up future promise resolver =
  ignore (Weir.Future.cancel future);
  if pending promise then Lwt.wakeup_later_exn resolver Timeout

let limit future promise resolver seconds =
  let stop = Lwt_engine.stop_event in
  let timer =
    Lwt_engine.on_timer seconds false (fun timer ->
        stop timer;
        give_up future promise resolver)
  in
  Lwt.on_termination promise (fun () -> stop timer)

let promise_of ?timeout future =
  let promise, resolver = Lwt.task () in
  Weir.Future.on_settle future (fun outcome ->
      if pending promise then Weir_loop.resolve ~closed:Closed resolver outcome);
  Lwt.on_cancel promise (fun () -> ignore (Weir.Future.cancel future));
  Option.iter (limit future promise resolver) timeout;
  promise

let run ?priority ?start_within ?timeout pool f =
  let who = "Weir_lwt.run" in
  let main = Weir_loop.main who in
  check who "timeout is not a time" (match timeout with Some s -> s >= 0. | None -> true);
  check who "start_within is not a time"
    (match start_within with Some s -> s > 0. | None -> true);
  match Weir.Pool.run ~main ?priority ?start_within pool f with
  | future -> promise_of ?timeout future
  | exception ((Closed | Full | Failure _ | Out_of_memory | Sys_error _) as exn) -> Lwt.fail exn

(* Opening and closing *)

let close ?mode pool = Weir_loop.close "Weir_lwt.close" ?mode pool
let close_async ?mode pool = ignore (Weir_loop.close "Weir_lwt.close_async" ?mode pool)

(* A promise that waits for space is one that waits in line. *)
let limit_of ~when_full queue_limit =
  match when_full with Some `Wait -> None | Some `Reject | None -> queue_limit

let close_when_exiting mode = function
  | Ok pool -> Lwt_main.at_exit (fun () -> close ~mode pool)
  | Error _ -> ()

let create ?name ?queue_limit ?when_full ?max_running ?tick_ms ?close_at_exit ~threads ~init
    ~at_exit () =
  let who = "Weir_lwt.create" in
  let main = Weir_loop.main who in
  check who "queue_limit is below 1" (match queue_limit with Some n -> n >= 1 | None -> true);
  let queue_limit = limit_of ~when_full queue_limit in
  let promise, resolver = Lwt.wait () in
  let ready result =
    Option.iter (fun mode -> close_when_exiting mode result) close_at_exit;
    Weir_loop.opened resolver result
  in
  Weir.Pool.create_async ~who ?name ?queue_limit ?max_running ?tick_ms ~main ~threads ~init
    ~at_exit ready;
  promise

let run_in_main f = Weir_loop.run_in_main "Weir_lwt.run_in_main" f
let stats = Weir.Pool.stats
let pool pool = pool
