(* SPDX-License-Identifier: ISC *)

(** What a program may ask of a pool while it serves. Any thread or domain may call these
    functions, tasks included. *)

(** One task that runs now. *)
type running = {
  label : string option;  (** see {!Weir.Pool.run} *)
  thread : int option;  (** the number of its thread; [None]: its submitter runs it *)
  seconds : float;  (** for how long it has run *)
  cancel_requested : bool;
  blocking : bool;  (** it waits for another task, or is in {!Weir.Pool.blocking} *)
}

module type S = sig
  type 'state t

  (** {1 Steering} *)

  val resize : ?threads_max:int -> _ t -> int -> unit
  (** [resize pool n]: from now on at least [n] threads, at most [threads_max] (default
      [n]). Surplus threads leave when their task has ended, and missing ones are started. No
      queued task is lost. With [0] the pool is lazy, see {!Weir.Pool.create}. Does not wait. A
      thread that the system refuses is counted in [lends_refused], and the pool asks for it
      again when a task waits.
      @raise Invalid_argument unless [0 <= n <= threads_max <= 1024] and [1 <= threads_max]
      @raise Weir.Closed after a close *)

  val pause : _ t -> unit
  (** No task starts until {!resume}; running tasks go on. A close with [`Drain] resumes.
      @raise Weir.Closed after a close *)

  val resume : _ t -> unit
  (** @raise Weir.Closed after a close *)

  val purge : _ t -> int
  (** Takes back every queued task, as {!Weir.Future.cancel} would, and returns how many. A task
      that starts at this very moment may be asked to stop. *)

  (** {1 Looking} *)

  val stats : _ t -> Stats.t
  (** One consistent snapshot. Works after a close too. *)

  val running : _ t -> running list
  (** What runs now, the oldest first. *)

  val histogram : _ t -> [ `Queue_time | `Run_time ] -> Histogram.t
  (** [`Queue_time]: how long the tasks that have started were queued. [`Run_time]: how long
      the tasks that have ended ran.
      @raise Invalid_argument when the pool was created without [~measure:`Times] *)

  val options : _ t -> Options.t
  (** The options in force, with defaults filled in, and the bounds as {!resize} left them. *)

  val name : _ t -> string

  val threads : _ t -> int
  (** The least number of threads, as created or resized; 0 for a lazy pool. *)
end
