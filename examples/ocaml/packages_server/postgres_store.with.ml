(* SPDX-License-Identifier: ISC *)
(* The store in a PostgreSQL server: a search waits for another process. *)

open Postgresql

let readable f =
  try f () with Error e -> failwith ("PostgreSQL: " ^ String.trim (string_of_error e))

let exec (db : connection) sql = ignore (db#exec ~expect:[ Command_ok ] sql)

let prepare (db : connection) name sql =
  ignore (db#prepare name sql);
  db

let row (result : result) i =
  let text = result#getvalue i in
  ({ Store.name = text 0; version = text 1; summary = text 2 }, int_of_string (text 3))

let prepare_search db = prepare db "search" (Store.search ~like:"ILIKE")

let search (db : connection) text =
  let params = [| Store.pattern text |] in
  let result = db#exec_prepared ~expect:[ Tuples_ok ] ~params "search" in
  Store.found (List.init result#ntuples (row result))

(* The database may have restarted since the last search: try once more with a
   fresh connection. [status] does not help: it may be good after a connection is lost. *)
let search_again (db : connection) text =
  try search db text
  with Error _ ->
    db#reset;
    search (prepare_search db) text

let open_reader conninfo () =
  readable @@ fun () ->
  let db = prepare_search (new connection ~conninfo ()) in
  { Store.search = (fun text -> readable (fun () -> search_again db text));
    close = (fun () -> db#finish) }

let add (db : connection) package =
  let params = Array.of_list (Store.texts package) in
  ignore (db#exec_prepared ~expect:[ Command_ok ] ~params "insert")

let open_writer conninfo () =
  readable @@ fun () ->
  let db = new connection ~conninfo () in
  List.iter (exec db) [ "SET client_min_messages = warning"; "BEGIN"; Store.create; Store.clear ];
  let db = prepare db "insert" Store.insert in
  { Store.add = (fun package -> readable (fun () -> add db package));
    commit = (fun () -> readable (fun () -> exec db "COMMIT"));
    abandon = (fun () -> db#finish) }

let store conninfo =
  { Store.open_reader = open_reader conninfo; open_writer = open_writer conninfo }
