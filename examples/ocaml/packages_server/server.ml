(* SPDX-License-Identifier: ISC *)
(* Answers HTTP requests; a request that waits never delays another. *)

module Http = Cohttp_lwt_unix.Server

type finders = { usual : Finder.t; on_loop : Finder.t option }

let typed kind = Cohttp.Header.init_with "content-type" kind
let respond status body = Http.respond_string ~status ~body:(body ^ "\n") ()

let respond_as kind body =
  Http.respond_string ~headers:(typed kind) ~status:`OK ~body:(body ^ "\n") ()

let line { Store.name; version; summary } = String.concat "\t" [ name; version; summary ]

let page { Store.total; first } =
  String.concat "\n" (Printf.sprintf "%d found" total :: List.map line first)

let json { Store.total; first } =
  let hit { Store.name; version; summary } =
    `Assoc [ ("name", `String name); ("version", `String version); ("summary", `String summary) ]
  in
  Yojson.Basic.to_string (`Assoc [ ("total", `Int total); ("first", `List (List.map hit first)) ])

let refuse = function
  | Weir_lwt.Full -> respond `Service_unavailable "too many searches are waiting"
  | Weir_lwt.Closed -> respond `Service_unavailable "the server is stopping"
  | Weir_lwt.Timeout -> respond `Gateway_timeout "the search took too long"
  | e ->
    prerr_endline (Printexc.to_string e);
    respond `Internal_server_error "the search failed"

let found uri result =
  match Uri.get_query_param uri "as" with
  | Some "json" -> respond_as "application/json" (json result)
  | Some _ | None -> respond `OK (page result)

let search finders uri =
  let finder =
    match (Uri.get_query_param uri "on", finders.on_loop) with
    | Some "loop", Some on_loop -> on_loop
    | _ -> finders.usual
  in
  match Uri.get_query_param uri "q" with
  | Some text when Query.is_valid text ->
    Lwt.try_bind (fun () -> finder.find text) (found uri) refuse
  | Some _ | None -> respond `Bad_request ("q must be " ^ Query.valid)

let stopping ask_stop =
  ask_stop ();
  respond `OK "The server stops: it answers what is under way, and closes its pool."

let route finders heartbeat ~ask_stop request =
  let uri = Cohttp.Request.uri request in
  match (Cohttp.Request.meth request, Uri.path uri) with
  | `GET, "/ping" -> respond `OK "pong"
  | `GET, "/" -> respond_as "text/html; charset=utf-8" Search_page.html
  | `POST, "/stop" -> stopping ask_stop
  | `GET, "/search" -> search finders uri
  | `GET, "/heartbeat" -> respond `OK (Heartbeat.report heartbeat)
  | _, ("/" | "/ping" | "/search" | "/heartbeat") -> respond `Method_not_allowed "only GET"
  | _, "/stop" -> respond `Method_not_allowed "only POST"
  | _ -> respond `Not_found "try /, /ping, /search?q=text or /heartbeat"

let listen ~port =
  let socket = Unix.socket ~cloexec:true Unix.PF_INET Unix.SOCK_STREAM 0 in
  Unix.setsockopt socket Unix.SO_REUSEADDR true;
  Unix.bind socket (Unix.ADDR_INET (Unix.inet_addr_loopback, port));
  Unix.listen socket 128;
  match Unix.getsockname socket with
  | Unix.ADDR_INET (_, port) -> (Lwt_unix.of_unix_file_descr socket, port)
  | Unix.ADDR_UNIX _ -> assert false

let serve socket finders ~stop ~ask_stop =
  let heartbeat = Heartbeat.start () in
  let callback _connection request _body = route finders heartbeat ~ask_stop request in
  Http.create ~mode:(`TCP (`Socket socket)) ~stop (Http.make ~callback ())
