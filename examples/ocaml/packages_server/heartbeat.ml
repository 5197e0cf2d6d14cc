(* SPDX-License-Identifier: ISC *)
(* Beats every millisecond on the loop and remembers the longest gap. *)

type t = { mutable last : float; mutable worst : float }

let observe t =
  let now = Unix.gettimeofday () in
  t.worst <- Float.max t.worst (now -. t.last);
  t.last <- now

let start () =
  let t = { last = Unix.gettimeofday (); worst = 0. } in
  let rec beat () =
    observe t;
    Lwt.bind (Lwt_unix.sleep 0.001) beat
  in
  Lwt.async beat;
  t

let worst t =
  observe t;
  let worst = t.worst in
  t.worst <- 0.;
  worst *. 1000.
