let ( let* ) = Lwt.bind
let connect () = Sqlite3.db_open ":memory:"
let fail db = failwith ("sqlite: " ^ Sqlite3.errmsg db)
let disconnect db = if not (Sqlite3.db_close db) then fail db

(* On a pool thread, with that thread's connection: may block as it likes. *)
let sum db =
  let statement =
    Sqlite3.prepare db
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000000) \
       SELECT sum(i) FROM n"
  in
  Fun.protect
    ~finally:(fun () -> ignore (Sqlite3.finalize statement)) (* its code is step's *)
    (fun () ->
      if Sqlite3.step statement <> Sqlite3.Rc.ROW then fail db;
      Sqlite3.column_int statement 0)

let main () =
  let* pool =
    Weir_lwt.create ~name:"db" ~threads:2 ~init:connect ~at_exit:disconnect ()
  in
  let totals () =
    let* one, two = Lwt.both (Weir_lwt.run pool sum) (Weir_lwt.run pool sum) in
    Lwt_io.printlf "%d %d" one two
  in
  Lwt.finalize totals (fun () -> Weir_lwt.close pool)

let () = Lwt_main.run (main ())
