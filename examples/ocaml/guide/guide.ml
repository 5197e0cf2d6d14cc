(* SPDX-License-Identifier: ISC *)

(* What doc/guide/ocaml.md shows after its first program, in its order. *)

let ( let* ) = Lwt.bind
let print fmt = Lwt_io.printlf fmt

let connect () =
  let db = Sqlite3.db_open ":memory:" in
  Sqlite3.busy_timeout db 5_000;
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

(* A server: SIGTERM ends it when its tasks have run. A second exit would not wait for that. *)

let exit_once =
  let exits = ref false in
  fun _ ->
    if not !exits then begin
      exits := true;
      exit 0
    end

let server () =
  ignore (Lwt_unix.on_signal Sys.sigterm exit_once);
  let* db =
    Weir_lwt.create ~name:"db" ~threads:1 ~close_at_exit:`Drain ~exit_within:30. ~init:connect
      ~at_exit:disconnect ()
  in
  for n = 1 to 3 do
    Lwt.async (fun () -> Weir_lwt.run db (fun _ -> Printf.printf "saved %d\n%!" n))
  done;
  Unix.kill (Unix.getpid ()) Sys.sigterm;
  Unix.kill (Unix.getpid ()) Sys.sigterm;
  fst (Lwt.wait ())

let main () =
  Weir.Watch.start ~task:30. ~loop:2. ();
  let* db =
    Weir_lwt.create ~name:"db" ~threads:2 ~queue_limit:1000 ~init:connect
      ~at_exit:disconnect ()
  in
  let* cpu = Weir_lwt.create ~name:"cpu" ~threads:1 ~init:ignore ~at_exit:ignore () in
  let* () = errors db in
  let* () = squares db in
  let* () = limit cpu in
  let* () = progress cpu in
  let* () = import cpu in
  let* () = stop db in
  let* () = Weir_lwt.close cpu in
  server ()

let () = Lwt_main.run (main ())
