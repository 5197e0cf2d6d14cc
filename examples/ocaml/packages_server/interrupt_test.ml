(* SPDX-License-Identifier: ISC *)
(* A query without an end is ended by its timeout, and its thread is free again. *)

open Lwt.Syntax

let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i) FROM n"
let answer = "SELECT 42"

let ask query db =
  let statement = Sqlite3.prepare db query in
  Fun.protect
    ~finally:(fun () -> ignore (Sqlite3.finalize statement))
    (fun () ->
      Sqlite_store.interruptible db (fun () ->
          match Sqlite3.step statement with
          | ROW -> Sqlite3.column_int statement 0
          | code ->
            Sqlite_store.check db code;
            failwith "no row"))

let timed_out pool =
  Lwt.try_bind
    (fun () -> Weir_lwt.run ~timeout:0.05 pool (ask endless))
    (fun _ -> Lwt.return_false)
    (fun exn -> Lwt.return (exn = Weir_lwt.Timeout))

let main () =
  let disconnect db = assert (Sqlite3.db_close db) in
  let created =
    Weir_lwt.create ~threads:1 ~init:(fun () -> Sqlite3.db_open ":memory:") ~at_exit:disconnect ()
  in
  Weir_lwt.with_pool created (fun pool ->
      let* timed_out = timed_out pool in
      let* n = Weir_lwt.run pool (ask answer) in
      Lwt_io.printlf "timed out: %b, then %d, canceled: %d" timed_out n (Weir_lwt.stats pool).cancelled)

let () = Lwt_main.run (main ())
