(* SPDX-License-Identifier: ISC *)

(** What may be asked of a pool while it serves. Any thread or domain may call these,
    tasks included. *)

module type S = sig
  type 'state t

  (** {1 Steering} *)

  val resize : ?threads_max:int -> _ t -> int -> unit
  (** [resize pool n]: from now on at least [n] threads, at most [threads_max] (default
      [n]). Threads too many leave after their task, no queued task is lost; threads too
      few are started. With [0] the pool is lazy, see {!Weir.Pool.create}. Does not wait; a
      thread that the system refuses is counted in [lends_refused] and asked for again when
      a task waits.
      @raise Invalid_argument unless [0 <= n <= threads_max <= 1024] and [1 <= threads_max]
      @raise Weir.Closed after a close *)

  val pause : _ t -> unit
  (** No task starts until {!resume}; running ones go on. A drain resumes.
      @raise Weir.Closed after a close *)

  val resume : _ t -> unit
  (** @raise Weir.Closed after a close *)

  val purge : _ t -> int
  (** Takes back every queued task, as a cancel would; returns how many. One that starts
      at this very moment is asked to stop. *)

  (** {1 Looking} *)

  val stats : _ t -> Stats.t
  (** One consistent snapshot, after a close too. *)

  val histogram : _ t -> [ `Queue_time | `Run_time ] -> Histogram.t
  (** How long the tasks that started so far were queued, or those that ended ran.
      @raise Invalid_argument when the pool was created without [~measure:`Times] *)

  val options : _ t -> Options.t
  (** The options in force, defaults filled in; the bounds as {!resize} left them. *)

  val name : _ t -> string

  val threads : _ t -> int
  (** The least number of threads, as created or resized; 0 for a lazy pool. *)
end
