let ( let* ) = Lwt.bind

(* On a pool thread, with that thread's connection: may block as it likes. *)
let sum db =
  let stmt =
    Sqlite3.prepare db
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000000) \
       SELECT sum(i) FROM n"
  in
  assert (Sqlite3.step stmt = Sqlite3.Rc.ROW);
  let total = Sqlite3.column_int stmt 0 in
  ignore (Sqlite3.finalize stmt);
  total

let main () =
  let* pool =
    Weir_lwt.create ~name:"db" ~threads:2
      ~init:(fun () -> Sqlite3.db_open ":memory:")
      ~at_exit:(fun db -> assert (Sqlite3.db_close db))
      ()
  in
  let* totals = Lwt.both (Weir_lwt.run pool sum) (Weir_lwt.run pool sum) in
  let* () = Lwt_io.printlf "%d %d" (fst totals) (snd totals) in
  Weir_lwt.close pool

let () = Lwt_main.run (main ())
