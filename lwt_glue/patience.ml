(* SPDX-License-Identifier: ISC
   The end of a program waits for a pool as long as its tasks start and end, however many
   there are. It does not wait for a task that is stuck. *)

open Lwt.Infix

let every = 0.25
let looks = 20
let or_pause closed pause = Lwt.pick [ (closed >|= fun () -> true); (pause >|= fun () -> false) ]

let until_stuck ~pause ~look closed =
  let rec wait seen left =
    or_pause closed (pause ()) >>= fun is_closed ->
    let now = look () in
    if is_closed then Lwt.return_true
    else if now <> seen then wait now looks
    else if left = 1 then Lwt.return_false
    else wait seen (left - 1)
  in
  wait (look ()) looks

let progress pool () =
  let s = Weir.Pool.stats pool in
  (s.threads, s.queued, s.running, s.ok + s.failed + s.cancelled)

let wait ?within pool closed =
  match within with
  | Some seconds -> or_pause closed (Lwt_unix.sleep seconds)
  | None -> until_stuck ~pause:(fun () -> Lwt_unix.sleep every) ~look:(progress pool) closed

let labels pool =
  match List.filter_map (fun (r : Weir.Control.running) -> r.label) (Weir.Pool.running pool) with
  | [] -> ""
  | labels -> Printf.sprintf " (%s)" (String.concat ", " labels)

let tell pool =
  let s = Weir.Pool.stats pool in
  Printf.eprintf
    "weir: the program ends without pool '%s': %d of its tasks run%s, %d are queued\n%!"
    (Weir.Pool.name pool) s.running (labels pool) s.queued
