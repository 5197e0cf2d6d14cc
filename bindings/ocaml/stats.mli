(* SPDX-License-Identifier: ISC *)

type t = {
  threads : int;  (** now: threads with a state, serving *)
  idle : int;  (** of them without a task *)
  running : int;
  queued : int;
  lost : int;  (** threads that gave up their task and still run it *)
  wanted : int;  (** replacements asked for and not yet there *)
  submitted : int;  (** since the pool opened *)
  ok : int;
  failed : int;
  cancelled : int;
  expired : int;
  closed : int;  (** never started because the pool closed *)
  refused : int;  (** runs refused because the queue was full *)
  wakes : int;  (** idle threads woken *)
  lends_refused : int;  (** replacements that could not be made *)
}
(** One consistent snapshot of a pool's counters. [submitted] is always [queued +
    running] and the five outcomes. *)
