(* SPDX-License-Identifier: ISC *)
(* The command line: import package lists, serve searches over them, or search for a server. *)

open Lwt.Syntax

let usage = "main.exe (import | serve | worker) [options]"
let command = ref ""
let store = ref (Sqlite_store.store "packages.db")
let lists = ref []
let port = ref 8080
let threads = ref 2
let on_loop = ref false
let both = ref false
let remote = ref ""

let use_sqlite path = store := Sqlite_store.store path
let use_postgres conninfo = store := Postgres_store.store conninfo
let add_list path = lists := path :: !lists

let options =
  Arg.align
    [ ("--db", String use_sqlite, "FILE SQLite database (default packages.db)");
      ("--postgres", String use_postgres, "CONNINFO PostgreSQL instead");
      ("--list", String add_list, "FILE import this list (default: what apt has fetched)");
      ("--port", Set_int port, "N port on the loopback address, 0 for a free one (default 8080)");
      ("--threads", Set_int threads, "N threads of the pool, one connection each (default 2)");
      ("--on-loop", Set on_loop, " search on the loop's thread instead, to see the difference");
      ("--both", Set both, " the page at / may choose between the two");
      ("--remote", Set_string remote, "URL searches run in the workers of this farm") ]

let import () =
  let lists = match List.rev !lists with [] -> Lists.here () | lists -> lists in
  Import.run !store ~lists

let stopped () =
  let stop, wake = Lwt.wait () in
  let ask () = if Lwt.is_sleeping stop then Lwt.wakeup_later wake () in
  let on signal = ignore (Lwt_unix.on_signal signal (fun _ -> ask ())) in
  List.iter on [ Sys.sigterm; Sys.sigint ];
  (stop, ask)

let finders () =
  let* usual =
    if !remote <> "" then Workers.finder !remote
    else if !on_loop then Finder.on_loop !store
    else Finder.in_pool !store ~threads:!threads
  in
  let+ on_loop =
    if !both then Lwt.map Option.some (Finder.on_loop !store) else Lwt.return_none
  in
  { Server.usual; on_loop }

let close { Server.usual; on_loop } =
  let* () = usual.Finder.close () in
  match on_loop with
  | Some finder -> finder.close ()
  | None -> Lwt.return_unit

let serve () =
  let stop, ask_stop = stopped () in
  let socket, port = Server.listen ~port:!port in
  let* finders = finders () in
  let* () = Lwt_io.printlf "listening on http://127.0.0.1:%d" port in
  let* () = Server.serve socket finders ~stop ~ask_stop in
  close finders

let work () =
  let stop, _ = stopped () in
  Workers.serve !remote !store ~threads:!threads ~stop

let main () =
  Arg.parse options (fun word -> command := word) usage;
  match !command with
  | "import" -> Lwt_main.run (import ())
  | "serve" -> Lwt_main.run (serve ())
  | "worker" -> Lwt_main.run (work ())
  | _ -> Arg.usage options usage; exit 2

let fail reason =
  prerr_endline reason;
  exit 1

let () =
  try main () with
  | Failure reason | Invalid_argument reason -> fail reason
  | Sqlite3.Error reason | Sqlite3.SqliteError reason -> fail ("SQLite: " ^ reason)
  | Unix.Unix_error (error, call, _) -> fail (call ^ ": " ^ Unix.error_message error)
