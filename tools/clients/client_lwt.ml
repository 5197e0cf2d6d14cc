(* SPDX-License-Identifier: ISC *)

(* A program that uses weir-lwt and its Mwt as installed. *)
let ( let* ) = Lwt.bind

let with_weir () =
  let* pool = Weir_lwt.create ~threads:2 ~init:(fun () -> 20) ~at_exit:ignore () in
  let* n = Weir_lwt.run pool (fun state -> state + 1) in
  let* () = Weir_lwt.close pool in
  Lwt.return n

let with_mwt () =
  let* pool = Mwt.make ~init:(fun () -> 20) ~at_exit:ignore 2 in
  let* n = Mwt.run pool (fun state -> Mwt.run_in_main (fun () -> Lwt.return (state + 1))) in
  let* () = Mwt.close pool in
  Lwt.return n

let () =
  let n, m = Lwt_main.run (Lwt.both (with_weir ()) (with_mwt ())) in
  Printf.printf "%d\n" (n + m);
  if n + m <> 42 then exit 1
