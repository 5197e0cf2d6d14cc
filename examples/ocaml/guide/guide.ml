(* SPDX-License-Identifier: ISC *)

(* What doc/guide/ocaml.md shows after its first program, in its order. *)

let ( let* ) = Lwt.bind
let print fmt = Lwt_io.printlf fmt

let connect () =
  let db = Sqlite3.db_open ":memory:" in
  Sqlite3.busy_timeout db 1_000;
  if Sqlite3.exec db "SELECT 1 FROM sqlite_master" <> Sqlite3.Rc.OK then
    failwith (Sqlite3.errmsg db);
  db

let disconnect db = if not (Sqlite3.db_close db) then failwith "a statement is open"

let one_int query db =
  let statement = Sqlite3.prepare db query in
  Fun.protect
    ~finally:(fun () -> ignore (Sqlite3.finalize statement))
    (fun () ->
      match Sqlite3.step statement with
      | Sqlite3.Rc.ROW -> Sqlite3.column_int statement 0
      | Sqlite3.Rc.INTERRUPT -> raise Weir.Canceled
      | _ -> failwith (Sqlite3.errmsg db))

(* Errors: the promise is rejected with the exception that the task raised. *)

let errors db =
  Lwt.catch
    (fun () ->
      let* n = Weir_lwt.run db (one_int "SELECT sum FROM nowhere") in
      print "%d" n)
    (function Sqlite3.Error problem -> print "%s" problem | other -> Lwt.fail other)

(* Several at once. *)

let squares db =
  let square n = Weir_lwt.run db (one_int (Printf.sprintf "SELECT %d * %d" n n)) in
  let* all = Lwt_list.map_p square [ 1; 2; 3 ] in
  print "%s" (String.concat " " (List.map string_of_int all))

(* Many, of which no more than 20 at a time are in the pool. *)

let batch db =
  let sum = ref 0 in
  let add i =
    let* n = Weir_lwt.run db (one_int (Printf.sprintf "SELECT %d" i)) in
    Lwt.return (sum := !sum + n)
  in
  let queries = Lwt_stream.of_list (List.init 200 succ) in
  let* () = Lwt_stream.iter_n ~max_concurrency:20 add queries in
  print "%d" !sum

(* A timeout, and a task that looks whether it should stop. *)

let rec until_told n () =
  if Weir.Pool.cancel_requested () then raise Weir.Canceled;
  until_told (n + 1) ()

let limit cpu =
  Lwt.catch
    (fun () -> Weir_lwt.run ~timeout:0.05 cpu (until_told 0))
    (function Weir_lwt.Timeout -> print "timeout" | other -> Lwt.fail other)

(* Progress: a task has code run on the loop, and waits for it. *)

let progress cpu =
  let done_ = ref 0 in
  let step () = Weir_lwt.run_in_main (fun () -> Lwt.return (incr done_)) in
  let* () = Weir_lwt.run cpu (fun () -> for _ = 1 to 10 do step () done) in
  print "%d steps" !done_

(* Streaming: a task waits for the loop until it is asked to stop. *)

let on_loop f =
  let stopped = ref false and cancel = ref ignore in
  let stop () =
    stopped := true;
    !cancel ()
  in
  let start () =
    let promise = if !stopped then Lwt.fail Lwt.Canceled else f () in
    cancel := (fun () -> Lwt.cancel promise);
    promise
  in
  try Weir.Pool.on_cancel stop (fun () -> Weir_lwt.run_in_main start)
  with Lwt.Canceled when Weir.Pool.cancel_requested () -> raise Weir.Canceled

let send client () =
  for i = 1 to 100_000 do
    on_loop (fun () -> Lwt_io.fprintlf client "row %d" i)
  done

let stream cpu client =
  Lwt.catch
    (fun () -> Weir_lwt.run ~timeout:0.05 cpu (send client))
    (function
      | Weir_lwt.Timeout -> Lwt_io.abort client (* a close would wait for the client *)
      | other -> Lwt.fail other)

let stalled cpu =
  let _nobody_reads, client = Lwt_io.pipe () in
  let* () = stream cpu client in
  let* () = Weir_lwt.run cpu ignore in
  print "the thread is free"

(* What is my pool doing? *)

let show (task : Weir.Control.running) =
  print "%s runs, for %.0f s" (Option.value task.label ~default:"a task") task.seconds

let look pool =
  let now = Weir_lwt.stats pool in
  let* () = print "%d threads, %d running, %d queued" now.threads now.running now.queued in
  Lwt_list.iter_s show (Weir_lwt.running pool)

let import cpu =
  Weir_lwt.run ~label:"import" cpu (fun () -> Weir_lwt.run_in_main (fun () -> look cpu))

(* Stopping: what is queued runs first, for at most five seconds. *)

let stop db =
  let* in_time = Weir_lwt.close_within ~mode:`Drain db 5. in
  print "%b" in_time

(* A server: SIGTERM or ^C ends it when what it was asked is answered, a second ^C at once. *)

let told_to_stop () =
  let stop, wake = Lwt.wait () in
  let interrupts = ref 0 in
  let tell _ = if Lwt.is_sleeping stop then Lwt.wakeup_later wake () in
  let tell_or_leave signal =
    incr interrupts;
    if !interrupts > 1 then Unix._exit 130 else tell signal
  in
  ignore (Lwt_unix.on_signal Sys.sigterm tell);
  ignore (Lwt_unix.on_signal Sys.sigint tell_or_leave);
  stop

let under_way = ref 0
let answered = Lwt_condition.create ()

let counted request =
  incr under_way;
  Lwt.finalize request (fun () ->
      decr under_way;
      Lwt.return (Lwt_condition.signal answered ()))

let refusal = function
  | Weir_lwt.Full | Weir_lwt.Closed | Weir.Expired -> "503 try again later"
  | Weir_lwt.Timeout -> "504 took too long"
  | exn ->
    prerr_endline (Printexc.to_string exn);
    "500 failed"

(* Never rejected, because Lwt.async ends the program for a promise that is. *)
let serve request write =
  counted (fun () ->
      let* answer = Lwt.catch request (fun exn -> Lwt.return (refusal exn)) in
      Lwt.catch (fun () -> write answer) (fun _the_client_left -> Lwt.return_unit))

let rec all_answered () =
  if !under_way = 0 then Lwt.return_unit
  else
    let* () = Lwt_condition.wait answered in
    all_answered ()

(* Whether all requests were answered, and all threads have ended. *)
let finish ?(within = 30.) db =
  let all = Lwt.map (fun () -> true) (all_answered ()) in
  let limit = Lwt.map (fun () -> false) (Lwt_unix.sleep within) in
  let* answered = Lwt.pick [ all; limit ] in
  let* ended = Weir_lwt.close_within db 5. in
  Lwt.return (answered && ended)

let question db i () =
  let* n = Weir_lwt.run db (one_int (Printf.sprintf "SELECT 7 * %d" i)) in
  let* () = Lwt_unix.sleep 0.01 in
  Lwt.return (string_of_int n)

let open_db () =
  Weir_lwt.create ~name:"db" ~threads:1 ~queue_limit:2 ~init:connect ~at_exit:disconnect ()

(* Paused while three ask, so that the third is refused. *)
let server () =
  let stop = told_to_stop () in
  let* db = open_db () in
  Weir_lwt.pause db;
  for i = 1 to 3 do
    Lwt.async (fun () -> serve (question db i) (print "%s"))
  done;
  Weir_lwt.resume db;
  List.iter (Unix.kill (Unix.getpid ())) Sys.[ sigterm; sigterm; sigint ];
  let* () = stop in
  let* well = finish db in
  print "ended well: %b" well

let unanswered () =
  let* db = open_db () in
  Lwt.async (fun () -> serve (fun () -> fst (Lwt.wait ())) (print "%s"));
  let* well = finish ~within:0.05 db in
  print "ended well: %b" well

let main () =
  Weir.Watch.start ~task:30. ~loop:2. ();
  let* db =
    Weir_lwt.create ~name:"db" ~threads:2 ~queue_limit:1000 ~init:connect
      ~at_exit:disconnect ()
  in
  let* cpu = Weir_lwt.create ~name:"cpu" ~threads:1 ~init:ignore ~at_exit:ignore () in
  let* () = errors db in
  let* () = squares db in
  let* () = batch db in
  let* () = limit cpu in
  let* () = progress cpu in
  let* () = stalled cpu in
  let* () = import cpu in
  let* () = stop db in
  let* () = Weir_lwt.close cpu in
  let* () = server () in
  unanswered ()

let () = Lwt_main.run (main ())
