(* SPDX-License-Identifier: ISC *)

(** What the pools of this process do, event by event.

    The core reports an event on the thread where it happens, mostly while no OCaml can run
    there. So a C hook writes it into a ring, and {!take} brings it to OCaml later, on any
    thread. While nothing is traced an event costs one load. *)

type outcome = [ `Ok | `Failed | `Canceled | `Expired | `Closed | `Full ]

type event =
  | Queued
  | Started
  | Settled of outcome  (** not reported for a C task without [done] that never ran *)
  | Entered  (** a thread *)
  | Left
  | Grew
      (** a task found no idle thread, so one more was asked for; not what a resize asks for, nor
          the replacement of a lost thread *)
  | Closed  (** the pool is closed, its threads are gone *)

type t = {
  at : int;  (** in nanoseconds of the monotonic clock *)
  pool : string;  (** its name, cut after 31 bytes *)
  task : int;  (** names the task until it has settled; 0 if the event is not of a task *)
  event : event;
}
(** Events of one thread are in the order in which they happened. Two threads write in any
    order: a task may be noted as started before its submitter notes it as queued. *)

val start : int -> unit
(** [start n] keeps the newest [n] events from now on. Events kept before are forgotten.
    @raise Invalid_argument unless [1 <= n <= 1_048_576]
    @raise Out_of_memory and changes nothing *)

val stop : unit -> unit
(** Ends the trace, forgets what is kept and frees the memory. *)

val take : unit -> t list
(** The events since the last take, oldest first. *)

val missed : unit -> int
(** How many events since {!start} were overwritten by newer ones before a {!take}. *)

(** {1 In a file}

    [WEIR_TRACE=FILE program] writes a trace of the program, without a change, in the format that
    {{:https://ui.perfetto.dev} Perfetto} opens. *)

val slice : string -> (unit -> 'a) -> 'a
(** [slice label f] is [f ()]. Such a file shows it on the track of this thread: what a loop does
    itself, or a part of a task. [label] names a kind of work (["search"]), not one piece of it,
    because each text is kept for good. If [f] returns a promise, what comes later is not in the
    slice. *)

(** {1 At once} *)

type step = {
  pool : string;  (** its name *)
  thread : int;  (** the number of the pool's thread *)
  label : string;  (** of the task, or [""] *)
  begins : bool;  (** the function begins; otherwise it has returned or raised *)
}

val on_step : (step -> unit) option -> unit
(** From now on the function is called on the pool's thread as the function of each task begins
    and as it has ended, for programs that trace in a way of their own. It should be short, and
    what it raises is ignored. [None] ends this, and calls under way may still come. A task whose
    thread ends in it ([Thread.exit]) has no end. While there is none, a step costs one load. *)

(**/**)

val note_step : string -> begins:bool -> unit
