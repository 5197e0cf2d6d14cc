(* SPDX-License-Identifier: ISC *)
(* A query without an end is ended by its timeout whenever that comes, and its thread is free
   again: one that is lost would leave the one thread in the query for ever. A connection does not
   stay in a transaction whose task was ended, and such an end is told nobody as a failure. *)

open Lwt.Syntax

let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i) FROM n"
let answer = "SELECT 42"

(* [before] runs before SQLite does. *)
let ask ?(before = ignore) query db =
  Sqlite_store.interruptible db (fun () ->
      before ();
      let statement = Sqlite3.prepare db query in
      Fun.protect
        ~finally:(fun () -> ignore (Sqlite3.finalize statement))
        (fun () ->
          match Sqlite3.step statement with
          | ROW -> Sqlite3.column_int statement 0
          | code ->
            Sqlite_store.check db code;
            failwith "no row"))

let times_out ?(task = ask endless) pool seconds =
  Lwt.try_bind
    (fun () -> Weir_lwt.run ~timeout:seconds pool task)
    (fun _ -> Lwt.return_false)
    (fun exn -> Lwt.return (exn = Weir_lwt.Timeout))

(* The moment that SQLite forgets: nothing of the query has begun. *)
let is_canceled_before pool =
  let query = ref (Lwt.return 0) in
  let cancel () = Lwt.return (Lwt.cancel !query) in
  query := Weir_lwt.run pool (ask ~before:(fun () -> Weir_lwt.run_in_main cancel) endless);
  Lwt.try_bind
    (fun () -> !query)
    (fun _ -> Lwt.return_false)
    (fun exn -> Lwt.return (exn = Lwt.Canceled))

(* Clients that hang up after less than the query needs to begin. *)
let rec all_time_out pool = function
  | 0 -> Lwt.return_true
  | n ->
    let* one = times_out pool (Random.float 0.0006) in
    if one then all_time_out pool (n - 1) else Lwt.return_false

(* Sqlite3.exec returns a code, of which most programs make a Failure. *)
let exec_endless db =
  Sqlite_store.interruptible db (fun () ->
      if Sqlite3.exec db endless <> Sqlite3.Rc.OK then failwith (Sqlite3.errmsg db);
      0)

let insert_then f db =
  Sqlite_store.transaction db (fun () ->
      Sqlite_store.exec db "INSERT INTO t VALUES (1)";
      f db)

let failures = ref 0
let () = Weir.on_unhandled := fun _ -> incr failures

let is_rolled_back pool =
  let* () = Weir_lwt.run pool (fun db -> Sqlite_store.exec db "CREATE TABLE t(x)") in
  let* one = times_out ~task:(insert_then (ask endless)) pool 0.05 in
  let* rows = Weir_lwt.run pool (insert_then (ask "SELECT count(*) FROM t")) in
  Lwt.return (one && rows = 1)

let main () =
  let disconnect db = assert (Sqlite3.db_close db) in
  let created =
    Weir_lwt.create ~threads:1 ~init:(fun () -> Sqlite3.db_open ":memory:") ~at_exit:disconnect ()
  in
  Weir_lwt.with_pool created (fun pool ->
      let* one = times_out pool 0.05 in
      let* between = is_canceled_before pool in
      let* many = all_time_out pool 3000 in
      let* exec = times_out ~task:exec_endless pool 0.05 in
      let* rolled_back = is_rolled_back pool in
      let* n = Weir_lwt.run pool (ask answer) in
      let* () = Lwt_io.printf "timed out: %b, between: %b, 3000 times: %b, " one between many in
      Lwt_io.printlf "exec: %b, rolled back: %b, failures: %d, then %d" exec rolled_back !failures n)

let () = Lwt_main.run (main ())
