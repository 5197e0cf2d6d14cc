(* SPDX-License-Identifier: ISC *)
(* Reads package lists into a store, on a thread beside the loop. *)

open Lwt.Syntax

(* A terminal shows one line that counts up; a file or a pipe gets only the last count. *)
let on_terminal = Unix.isatty Unix.stderr

(* The task knows its progress; only the loop may use Lwt's channels. *)
let show count =
  let line =
    if on_terminal then format_of_string "\rimport: %d packages" else "import: %d packages\n"
  in
  Weir_lwt.run_in_main (fun () -> Lwt_io.eprintf line count)

let fill lists (writer : Store.writer) =
  let count = ref 0 in
  let add package =
    writer.add package;
    incr count;
    if on_terminal && !count mod 5_000 = 0 then show !count
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
    (fun () -> Weir_lwt.run ~label:"import" pool (fill lists))
    (fun () ->
      let* () = if on_terminal then Lwt_io.eprintl "" else Lwt.return_unit in
      Weir_lwt.close pool)
