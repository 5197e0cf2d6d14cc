(* SPDX-License-Identifier: ISC *)

type t = {
  threads : int;  (** now: threads with a state, serving *)
  idle : int;  (** of them without a task *)
  running : int;
  queued : int;
  parked : int;  (** 0 unless C code parks tasks in the pool *)
  wanted : int;  (** threads asked for and not yet there *)
  lost : int;  (** threads that gave up their task and still run it *)
  blocked : int;  (** threads in {!Weir.Pool.blocking} or awaiting a task of their pool *)
  submitted : int;  (** since the pool opened *)
  ok : int;
  failed : int;
  cancelled : int;
  expired : int;
  closed : int;  (** never started because the pool closed *)
  dropped : int;  (** never started because a newer task took their place *)
  refused : int;  (** runs refused because the queue was full *)
  abandoned : int;  (** also counted in [cancelled] *)
  wakes : int;  (** idle threads woken *)
  lends_refused : int;  (** threads that could not be had *)
  grown : int;  (** threads asked for past the first ones *)
  retired : int;  (** threads gone before the close *)
  timed_out : int;
      (** promises that [Weir_lwt.run ~timeout] ended before their tasks; each task is counted
          above as what it is: [running] until its function returns *)
}
(** One consistent snapshot of a pool's counters. [submitted] is always [queued + running
    + parked] and the six outcomes. *)

val fields : t -> (string * int) list
(** Each by its name above, in that order: to export them. *)

val pp : Format.formatter -> t -> unit
(** [name value] pairs on one line, without those that are 0. *)
