(* SPDX-License-Identifier: ISC *)
(* A query without an end is ended by its timeout whenever that comes, and its thread is free
   again: one that is lost would leave the one thread in the query for ever. *)

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

let times_out pool seconds =
  Lwt.try_bind
    (fun () -> Weir_lwt.run ~timeout:seconds pool (ask endless))
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

let main () =
  let disconnect db = assert (Sqlite3.db_close db) in
  let created =
    Weir_lwt.create ~threads:1 ~init:(fun () -> Sqlite3.db_open ":memory:") ~at_exit:disconnect ()
  in
  Weir_lwt.with_pool created (fun pool ->
      let* one = times_out pool 0.05 in
      let* between = is_canceled_before pool in
      let* many = all_time_out pool 3000 in
      let* n = Weir_lwt.run pool (ask answer) in
      Lwt_io.printlf "timed out: %b, between: %b, 3000 times: %b, then %d" one between many n)

let () = Lwt_main.run (main ())
