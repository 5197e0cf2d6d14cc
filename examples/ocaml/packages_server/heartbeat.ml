(* SPDX-License-Identifier: ISC *)
(* Beats every millisecond on the loop and remembers when the loop stood still. *)

type t = { mutable last : float; mutable worst : float; mutable gaps : (float * float) list }

let long = 0.01

let observe t =
  let now = Unix.gettimeofday () in
  let gap = now -. t.last in
  if gap > long then t.gaps <- (t.last, gap) :: t.gaps;
  t.worst <- Float.max t.worst gap;
  t.last <- now

let start () =
  let t = { last = Unix.gettimeofday (); worst = 0.; gaps = [] } in
  let rec beat () =
    observe t;
    Lwt.bind (Lwt_unix.sleep 0.001) beat
  in
  Lwt.async beat;
  t

let report t =
  observe t;
  let line (at, gap) = Printf.sprintf "gap %.3f %.2f" at (gap *. 1000.) in
  let report =
    Printf.sprintf "%.2f" (t.worst *. 1000.) :: List.rev_map line t.gaps
  in
  t.worst <- 0.;
  t.gaps <- [];
  String.concat "\n" report
