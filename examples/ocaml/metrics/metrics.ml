(* SPDX-License-Identifier: ISC

   metrics SOCKET: an HTTP server on a socket of the file system, which Prometheus can scrape. *)

open Cohttp_lwt_unix

let headers = Cohttp.Header.init_with "Content-Type" "text/plain; version=0.0.4"

let answer pool _connection request _body =
  match Uri.path (Request.uri request) with
  | "/metrics" -> Server.respond_string ~headers ~status:`OK ~body:(Weir.metrics ()) ()
  | "/work" ->
    let open Lwt.Syntax in
    let* sum = Weir_lwt.run pool (fun () -> List.fold_left ( + ) 0 (List.init 1000 Fun.id)) in
    Server.respond_string ~status:`OK ~body:(string_of_int sum) ()
  | _ -> Server.respond_not_found ()

let serve () =
  let open Lwt.Syntax in
  let init () = () and at_exit () = () in
  let* pool = Weir_lwt.create ~name:"work" ~measure:`Times ~threads:2 ~init ~at_exit () in
  let mode = `Unix_domain_socket (`File Sys.argv.(1)) in
  Server.create ~mode (Server.make ~callback:(answer pool) ())

let () = Lwt_main.run (serve ())
