(* SPDX-License-Identifier: ISC
   Promises for pools. *)

type 'state t = 'state Weir.Pool.t
type mode = Weir.Pool.mode

exception Closed = Weir.Closed
exception Full = Weir.Full
exception Timeout

let () = Printexc.register_printer (function Timeout -> Some "Weir_lwt.Timeout" | _ -> None)
let main () = Weir_loop.main "Weir_lwt.main"

(* Running *)

let pending promise =
  match Lwt.state promise with Lwt.Sleep -> true | Return _ | Fail _ -> false

(* If the task has ended, its outcome holds: the delivery is on its way. *)
let give_up pool future promise resolver =
  if pending promise && Weir.Future.poll future = None then begin
    Weir.Pool.times_out pool;
    ignore (Weir.Future.cancel future);
    Lwt.wakeup_exn resolver Timeout
  end

let limit pool future promise resolver seconds =
  Weir.Future.ends_in_time future;
  let stop = Lwt_engine.stop_event in
  let timer =
    Lwt_engine.on_timer seconds false (fun timer ->
        stop timer;
        give_up pool future promise resolver)
  in
  Lwt.on_termination promise (fun () -> stop timer)

(* For a promise that ended before its task. *)
let late ?label pool : _ Weir.Future.outcome -> unit = function
  | Raised (exn, trace) -> Weir.Pool.unhandled ?label pool exn trace
  | Value _ | Canceled | Closed | Expired | Full -> ()

let promise_of ?timeout ?label pool future =
  let promise, resolver = Lwt.task () in
  Weir.Future.on_settle future (fun outcome ->
      if pending promise then Weir_loop.resolve ~closed:Closed resolver outcome
      else late ?label pool outcome);
  Lwt.on_cancel promise (fun () -> ignore (Weir.Future.cancel future));
  Option.iter (limit pool future promise resolver) timeout;
  promise

let run ?priority ?start_within ?timeout ?label pool f =
  let who = "Weir_lwt.run" in
  let main = Weir_loop.main who in
  Option.iter (Weir.Options.check_time ~who "timeout" (fun s -> s >= 0.)) timeout;
  Option.iter (Weir.Options.check_time ~who "start_within" (fun s -> s > 0.)) start_within;
  match Weir.Pool.run ~main ?priority ?start_within ?label pool f with
  | future -> promise_of ?timeout ?label pool future
  | exception ((Closed | Full | Failure _ | Out_of_memory | Sys_error _) as exn) -> Lwt.fail exn

(* Lwt_list.map_p would not wait for all when one has failed. *)
let map_p pool f xs =
  Lwt.all (List.map (Lwt.apply (fun x -> run pool (fun state -> f state x))) xs)

(* Opening and closing *)

let close ?mode pool = Weir_loop.close "Weir_lwt.close" ?mode pool
let close_async ?mode pool = ignore (Weir_loop.close "Weir_lwt.close_async" ?mode pool)

let close_within ?mode pool seconds =
  let who = "Weir_lwt.close_within" in
  Weir.Options.check_time ~who "the limit" (fun s -> s >= 0.) seconds;
  let closed = Weir_loop.close who ?mode pool in
  let give_up () =
    close_async pool;
    Lwt.return_false
  in
  Lwt.pick [ Lwt.map (fun () -> true) closed; Lwt.bind (Lwt_unix.sleep seconds) give_up ]

let with_pool ?mode created f =
  Lwt.bind created (fun pool ->
      Lwt.finalize (fun () -> f pool) (fun () -> close ?mode pool))

(* To wait for space is to be queued, so the pool's queue has no limit then. *)
let limit_of who when_full queue_limit =
  Option.iter (Weir.Options.check_range ~who "queue_limit" ~from:1 ~upto:max_int) queue_limit;
  match when_full with
  | `Wait -> (None, `Reject)
  | (`Reject | `Run_here _ | `Drop_oldest) as policy -> (queue_limit, policy)

let close_when_exiting within mode pool =
  let give_up () =
    Patience.tell pool;
    close_async pool
  in
  let closed = close ~mode pool in
  Lwt.map (fun in_time -> if not in_time then give_up ()) (Patience.wait ?within pool closed)

let at_exit_close within mode = function
  | Ok pool -> Lwt_main.at_exit (fun () -> close_when_exiting within mode pool)
  | Error _ -> ()

let check_within who = Option.iter (Weir.Options.check_time ~who "exit_within" (fun s -> s >= 0.))

let create ?name ?threads_max ?idle ?max_blocked ?queue_limit ?(when_full = `Reject) ?max_running
    ?measure ?tick_ms ?kind ?close_at_exit ?exit_within ~threads ~init ~at_exit () =
  let who = "Weir_lwt.create" in
  let main = Weir_loop.main who in
  let queue_limit, when_full = limit_of who when_full queue_limit in
  check_within who exit_within;
  let promise, resolver = Lwt.wait () in
  let ready result =
    Option.iter (fun mode -> at_exit_close exit_within mode result) close_at_exit;
    Weir_loop.opened resolver result
  in
  Weir.Pool.create_async ~who ?name ?threads_max ?idle ?max_blocked ?queue_limit ~when_full
    ?max_running ?measure ?tick_ms ?kind ~main ~threads ~init ~at_exit ready;
  promise

let run_in_main f = Weir_loop.run_in_main "Weir_lwt.run_in_main" f

let run_in_main_dont_wait f handler =
  Weir_loop.run_in_main_dont_wait "Weir_lwt.run_in_main_dont_wait" f handler

let pool pool = pool

include (Weir.Pool : Weir.Control.S with type 'state t := 'state t)
