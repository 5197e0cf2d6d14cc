(* SPDX-License-Identifier: ISC
   A snapshot of a pool's counters. A stub fills the fields in this order. *)

type t = {
  threads : int;
  idle : int;
  running : int;
  queued : int;
  parked : int;
  wanted : int;
  lost : int;
  blocked : int;
  submitted : int;
  ok : int;
  failed : int;
  cancelled : int;
  expired : int;
  closed : int;
  dropped : int;
  refused : int;
  abandoned : int;
  wakes : int;
  lends_refused : int;
  grown : int;
  retired : int;
  timed_out : int;
  oldest_queued_ns : int;
  oldest_running_ns : int;
}

let fields t =
  [
    ("threads", t.threads);
    ("idle", t.idle);
    ("running", t.running);
    ("queued", t.queued);
    ("parked", t.parked);
    ("wanted", t.wanted);
    ("lost", t.lost);
    ("blocked", t.blocked);
    ("submitted", t.submitted);
    ("ok", t.ok);
    ("failed", t.failed);
    ("cancelled", t.cancelled);
    ("expired", t.expired);
    ("closed", t.closed);
    ("dropped", t.dropped);
    ("refused", t.refused);
    ("abandoned", t.abandoned);
    ("wakes", t.wakes);
    ("lends_refused", t.lends_refused);
    ("grown", t.grown);
    ("retired", t.retired);
    ("timed_out", t.timed_out);
    ("oldest_queued_ns", t.oldest_queued_ns);
    ("oldest_running_ns", t.oldest_running_ns);
  ]

let pp f t =
  let pp_field f (name, n) = Format.fprintf f "%s %d" name n in
  let pp_sep f () = Format.pp_print_string f ", " in
  let counted = List.filter (fun (_, n) -> n <> 0) (fields t) in
  Format.pp_print_list ~pp_sep pp_field f counted
