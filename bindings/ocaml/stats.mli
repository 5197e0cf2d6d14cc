(* SPDX-License-Identifier: ISC *)

type t = {
  threads : int;  (** now: threads that serve, each with a state *)
  idle : int;  (** those of them without a task *)
  running : int;
  queued : int;
  parked : int;  (** 0 unless C code parks tasks in the pool *)
  wanted : int;  (** threads that were asked for and have not come yet *)
  lost : int;  (** threads whose task was abandoned and that still run it *)
  blocked : int;  (** threads in {!Weir.Pool.blocking}, or that await a task of their pool *)
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
  retired : int;  (** threads that left before the close *)
  timed_out : int;
      (** promises that [Weir_lwt.run ~timeout] ended before their tasks; each task is counted
          above as [running] until its function returns *)
  oldest_queued_ns : int;
      (** now: how long the task has been queued that has been longest, some ms inexact; 0: none
          is *)
  oldest_running_ns : int;  (** the same of running tasks *)
}
(** One consistent snapshot of a pool's counters. [submitted] is always the sum of [queued],
    [running], [parked] and the six outcomes. *)

val fields : t -> (string * int) list
(** Each field with its name, in the order above, to export them. *)

val pp : Format.formatter -> t -> unit
(** Prints [name value] pairs on one line, without fields that are 0. *)
