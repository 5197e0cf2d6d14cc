(* SPDX-License-Identifier: ISC *)

(** What the pools of this process do, event by event.

    The core tells its events on the threads where they happen, most of them while no
    OCaml can run there. So a C hook notes them in a ring, and {!take} brings them to
    OCaml later, on any thread. While nothing is traced an event costs one load. *)

type outcome = [ `Ok | `Failed | `Canceled | `Expired | `Closed | `Full ]

type event =
  | Queued
  | Started
  | Settled of outcome  (** not told of a C task without [done] that never ran *)
  | Entered  (** a thread *)
  | Left
  | Grew  (** one more thread was asked for *)
  | Closed  (** the pool is closed, its threads are gone *)

type t = {
  at : int;  (** in nanoseconds of the monotonic clock *)
  pool : string;  (** its name, cut after 31 bytes *)
  task : int;  (** a name for it until it has settled; 0: the event is of no task *)
  event : event;
}
(** Events of one thread stand in the order in which they happened; a task may be noted as
    started, there, before its submitter notes it as queued. *)

val start : int -> unit
(** [start n] keeps the newest [n] events from now on, and forgets those kept before.
    @raise Invalid_argument unless [1 <= n <= 1_048_576]
    @raise Out_of_memory with nothing changed *)

val stop : unit -> unit
(** Notes nothing more, and gives the memory back with what is kept. *)

val take : unit -> t list
(** What was noted since the last take, the oldest first. *)

val missed : unit -> int
(** How many events since {!start} gave way to newer ones before a {!take}. *)
