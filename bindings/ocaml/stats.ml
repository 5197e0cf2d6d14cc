(* SPDX-License-Identifier: ISC
   A snapshot of a pool's counters; a stub fills it in this order. *)

type t = {
  threads : int;
  idle : int;
  running : int;
  queued : int;
  lost : int;
  wanted : int;
  submitted : int;
  ok : int;
  failed : int;
  cancelled : int;
  expired : int;
  closed : int;
  refused : int;
  wakes : int;
  lends_refused : int;
}
