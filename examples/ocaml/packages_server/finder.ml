(* SPDX-License-Identifier: ISC *)
(* Runs searches on the loop or through a pool; nothing else differs. *)

open Lwt.Syntax

type t = { find : string -> Store.found Lwt.t; close : unit -> unit Lwt.t }

(* One write for the whole line, so that lines of several threads do not mix. *)
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
  (* Fair to the loop: it runs between two rounds of searches. Without the pause, one
     client that always has its next request ready could keep the loop to itself. *)
  let search text () = Weir.Trace.slice "search" (fun () -> reader.search text) in
  let find text = Lwt.map (search text) (Lwt.pause ()) in
  Lwt.return { find; close = (fun () -> Lwt.wrap (fun () -> closed reader)) }

let in_pool store ~threads =
  let* pool =
    Weir_lwt.create ~name:"packages" ~threads ~queue_limit:1_000 ~init:(opened store)
      ~at_exit:closed ()
  in
  let find text =
    Weir_lwt.run pool ~timeout:30. ~label:"search" (fun (reader : Store.reader) ->
        reader.search text)
  in
  Lwt.return { find; close = (fun () -> Weir_lwt.close ~mode:`Drain pool) }
