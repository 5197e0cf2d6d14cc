(* SPDX-License-Identifier: ISC *)
(* One job, whose argument and result the Lua program reads and writes as well. *)

open Lwt.Syntax
module Codec = Weir_remote.Codec

let hit =
  let write { Store.name; version; summary } = (name, version, summary) in
  let read (name, version, summary) = { Store.name; version; summary } in
  Codec.(conv write read (triple string string string))

let found =
  let write { Store.total; first } = (total, first) and read (total, first) = { Store.total; first } in
  Codec.(conv write read (pair int (list hit)))

let search = Weir_remote.job "packages.search" ~arg:Codec.string ~result:found

let say { Weir_remote.sentence; _ } =
  prerr_string (sentence ^ "\n");
  flush stderr

(* As the pool's own searches fail. *)
let refuse = function
  | Weir_remote.Timeout -> raise Weir_lwt.Timeout
  | exn -> raise exn

let finder url =
  let farm = Weir_remote.create ~queue_limit:1_000 ~on_event:say url in
  let find text =
    Lwt.catch (fun () -> Weir_remote_lwt.run ~timeout:30. farm search text) refuse
  in
  Lwt.return { Finder.find; close = (fun () -> Lwt.map ignore (Weir_remote_lwt.close farm)) }

let serve url (store : Store.t) ~threads ~stop =
  let close (reader : Store.reader) = reader.close () in
  let* pool = Weir_lwt.create ~threads ~init:store.open_reader ~at_exit:close () in
  let farm = Weir_remote.create ~on_event:say url in
  let answer (reader : Store.reader) text = reader.search text in
  Weir_remote_lwt.serve farm pool [ Weir_remote.handler search answer ];
  let* () = Lwt_io.printl "working" in
  let* () = stop in
  let* _ = Weir_remote_lwt.close farm in
  Weir_lwt.close pool
