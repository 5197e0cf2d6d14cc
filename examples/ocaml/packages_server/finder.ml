(* SPDX-License-Identifier: ISC *)
(* Where searches run: on the loop, or through a pool. This is all the difference. *)

open Lwt.Syntax

type t = { find : string -> Store.found Lwt.t; close : unit -> unit Lwt.t }

(* One piece, so that threads that speak at the same time do not mix their words. *)
let say what =
  prerr_string (Printf.sprintf "connection %s\n" what);
  flush stderr

let opened (store : Store.t) () =
  let reader = store.open_reader () in
  say "opened";
  reader

let closed (reader : Store.reader) =
  reader.close ();
  say "closed"

let on_loop store =
  let* reader = Lwt.wrap (opened store) in
  (* Fair to the loop: it turns between two rounds of searches. Without the pause, one
     client that always has its next request ready could keep the loop to itself. *)
  let find text = Lwt.map (fun () -> reader.search text) (Lwt.pause ()) in
  Lwt.return { find; close = (fun () -> Lwt.wrap (fun () -> closed reader)) }

let in_pool store ~threads =
  let* pool =
    Weir_lwt.create ~name:"packages" ~threads ~queue_limit:1_000 ~init:(opened store)
      ~at_exit:closed ()
  in
  let find text =
    Weir_lwt.run pool ~timeout:30. (fun (reader : Store.reader) -> reader.search text)
  in
  Lwt.return { find; close = (fun () -> Weir_lwt.close ~mode:`Drain pool) }
