(* SPDX-License-Identifier: ISC
   The watcher. A thread takes what it has found for a function. *)

let report : (string -> unit) option ref = ref None

let tell text =
  match !report with
  | None -> prerr_endline ("weir: " ^ text)
  | Some report -> (
      try report text
      with exn -> prerr_endline ("weir: Weir.Watch.report: " ^ Printexc.to_string exn))

let rec take round =
  match Raw.watch_take round with
  | None -> ()
  | Some text ->
      tell text;
      take round

let limit what seconds =
  let who = "Weir.Watch.start" in
  Options.check_time ~who what (fun s -> s > 0.) seconds;
  if seconds < 4e9 then max 1 (int_of_float (seconds *. 1e9)) else max_int / 2

let start ?task ?loop () =
  if task = None && loop = None then invalid_arg "Weir.Watch.start: neither ~task nor ~loop";
  let ns what = function None -> 0 | Some seconds -> limit what seconds in
  let function_ = !report <> None in
  let round = Raw.watch (ns "task" task) (ns "loop" loop) function_ in
  if round < 0 then raise (Error.of_code "Weir.Watch.start" round);
  if function_ then ignore (Thread.create take round)

let stop () = ignore (Raw.watch 0 0 false)
