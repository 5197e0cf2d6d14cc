(* SPDX-License-Identifier: ISC *)
(* Reads package lists into a store, on a thread beside the loop. *)

open Lwt.Syntax

(* The task knows how far it is; only the loop may use Lwt's channels. *)
let show count = Weir_lwt.run_in_main (fun () -> Lwt_io.eprintf "\rimport: %d packages" count)

let fill lists (writer : Store.writer) =
  let count = ref 0 in
  let add package =
    writer.add package;
    incr count;
    if !count mod 5_000 = 0 then show !count
  in
  List.iter (fun path -> Lists.read path (Package.iter add)) lists;
  writer.commit ();
  show !count

let run (store : Store.t) ~lists =
  let* pool =
    Weir_lwt.create ~name:"import" ~threads:1 ~init:store.open_writer
      ~at_exit:(fun (writer : Store.writer) -> writer.abandon ())
      ()
  in
  Lwt.finalize
    (fun () -> Weir_lwt.run pool (fill lists))
    (fun () ->
      let* () = Lwt_io.eprintl "" in
      Weir_lwt.close pool)
