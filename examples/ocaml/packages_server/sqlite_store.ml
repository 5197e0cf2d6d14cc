(* SPDX-License-Identifier: ISC *)
(* The store in an SQLite file: embedded, so a search is work of this process. *)

external interrupt : Sqlite3.db -> unit = "interrupt_db" [@@noalloc]

(* A cancel or a timeout ends what [f] does with [db], whatever [f] raises then. SQLite forgets
   an interrupt that comes while no statement of the connection runs, so one runs all the while:
   it has a second row. *)
let interruptible db f =
  let held = Sqlite3.prepare db "VALUES (1), (2)" in
  Fun.protect
    ~finally:(fun () -> ignore (Sqlite3.finalize held))
    (fun () ->
      if Sqlite3.step held <> Sqlite3.Rc.ROW then failwith (Sqlite3.errmsg db);
      try Weir.Pool.on_cancel (fun () -> interrupt db) f
      with _ when Weir.Pool.cancel_requested () -> raise Weir.Canceled)

let check db code =
  if code = Sqlite3.Rc.INTERRUPT then raise Weir.Canceled;
  if not (Sqlite3.Rc.is_success code) then failwith ("SQLite: " ^ Sqlite3.errmsg db)

let exec db sql = check db (Sqlite3.exec db sql)

(* All that [f] does, or nothing. It goes around [interruptible], because an interrupt ends
   each statement inside that, a ROLLBACK as well. *)
let transaction db f =
  exec db "BEGIN IMMEDIATE";
  try
    let result = f () in
    exec db "COMMIT";
    result
  with exn ->
    let trace = Printexc.get_raw_backtrace () in
    ignore (Sqlite3.exec db "ROLLBACK") (* fails where SQLite has rolled back already *);
    Printexc.raise_with_backtrace exn trace

let connect ?mode path =
  let db = Sqlite3.db_open ?mode path in
  Sqlite3.busy_timeout db 5_000;
  db

let row statement =
  let text = Sqlite3.column_text statement in
  ( { Store.name = text 0; version = text 1; summary = text 2 },
    Sqlite3.column_int statement 3 )

let rec rows db statement =
  match Sqlite3.step statement with
  | Sqlite3.Rc.ROW ->
    let first = row statement in
    first :: rows db statement
  | code ->
    check db code;
    []

let run db statement texts =
  List.iteri (fun i text -> check db (Sqlite3.bind_text statement (i + 1) text)) texts;
  Fun.protect
    ~finally:(fun () -> ignore (Sqlite3.reset statement))
    (fun () -> interruptible db (fun () -> rows db statement))

let close db statement () =
  ignore (Sqlite3.finalize statement);
  ignore (Sqlite3.db_close db)

let open_reader path () =
  let db = connect ~mode:`READONLY path in
  let statement = Sqlite3.prepare db (Store.search ~like:"LIKE") in
  { Store.search = (fun text -> Store.found (run db statement [ Store.pattern text ]));
    close = close db statement }

let open_writer path () =
  let db = connect path in
  List.iter (exec db) [ "BEGIN"; Store.create; Store.clear ];
  let statement = Sqlite3.prepare db Store.insert in
  { Store.add = (fun package -> ignore (run db statement (Store.texts package)));
    commit = (fun () -> exec db "COMMIT");
    abandon = close db statement }

let store path = { Store.open_reader = open_reader path; open_writer = open_writer path }
