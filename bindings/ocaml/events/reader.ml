(* SPDX-License-Identifier: ISC
   weir-events DIR PID: a line for each task of that process that ends. *)

let print ended = Format.printf "%a@." Weir_events.pp ended
let lost n = Printf.eprintf "weir-events: %d events were lost\n%!" n

let follow dir pid =
  try Weir_events.follow ~lost ~dir pid print
  with Failure why ->
    Printf.eprintf "weir-events: process %d in %s: %s\n" pid dir why;
    exit 1

let () =
  match Sys.argv with
  | [| _; dir; pid |] when int_of_string_opt pid <> None -> follow dir (int_of_string pid)
  | _ ->
    prerr_endline "usage: weir-events DIR PID";
    exit 2
