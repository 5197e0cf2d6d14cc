(* SPDX-License-Identifier: ISC *)

(** Named sets of threads, each with a state of its own, and one queue.

    Unless it says otherwise, a function here may be called from any thread or domain,
    tasks included. A pool must be closed: an unreachable one keeps its threads and
    states until the process ends; one without a thread is closed when it is collected. At
    the end of the process nobody waits for a pool and no [at_exit] runs.

    Tasks block all signals but those that the runtime needs; for commands that they start
    see {!spawning}. [exit] in a task raises
    [Failure]: call it on the main thread. [Thread.exit] fails the task, runs [at_exit],
    and the pool gets a new thread (before OCaml 5; from 5.0 on it is an exception like
    others). After a fork the child's pools are dead: {!run} raises [Failure]. *)

type 'state t
type priority = Options.priority = High | Normal | Low

type mode = [ `Reject | `Drain ]
(** What a close does with queued tasks: settle them as closed, or run them first. *)

type 'state when_full = [ `Reject | `Block | `Run_here of unit -> 'state | `Drop_oldest ]
(** What {!run} does at the [queue_limit]:
    - [`Reject] raises {!Weir.Full};
    - [`Block] waits for space;
    - [`Run_here state] runs the task on the calling thread, with [state ()]. There it may
      not call [Thread.exit] (before OCaml 5);
    - [`Drop_oldest] settles the oldest queued task of the lowest priority that is not
      above the new one's as full; raises {!Weir.Full} when all are above it. *)

val create :
  ?name:string ->
  ?threads_max:int ->
  ?idle:float ->
  ?max_blocked:int ->
  ?queue_limit:int ->
  ?when_full:'state when_full ->
  ?max_running:(priority -> int option) ->
  ?measure:[ `Nothing | `Times ] ->
  ?tick_ms:int ->
  ?kind:[ `Threads | `Domains ] ->
  threads:int ->
  init:(unit -> 'state) ->
  at_exit:('state -> unit) ->
  unit ->
  'state t
(** Starts [threads] threads (0 to 1024) and waits until each has run [init] on itself.
    [at_exit state] runs on the same thread before it ends. If an [init] raises, so
    does [create], once the other threads have run [at_exit] and ended.

    With [~threads:0 ~threads_max:n] the pool is lazy: a library may own one that costs no
    thread and no state while nobody uses it. It is open at once, the first task brings a
    thread, and all retire that idle. When an [init] raises and no other thread is there or
    on its way, the tasks that wait fail with its exception, which {!Weir.on_unhandled} is
    told, too, once; and with [Sys_error] when the system refuses the thread. The next task
    tries again. Who makes the threads is [main]'s thread (see {!create_async}), else one
    of weir's own that all pools share.

    A thread inherits its stack size from [ulimit -s], its CPUs from the thread that opens
    the pool or, when it comes later, from the one that lends it; [init] is the place to
    choose others.
    @param name names the threads [name/0], [name/1], ... (15 bytes; the name is cut, not
      the number)
    @param threads_max the pool grows up to here, a thread at a time, while tasks find no
      idle one (default: [threads]; at least 1). A new thread whose [init] raises is given
      up with a message, and tried again when a task waits; so is one that the system
      refuses.
    @param idle seconds that a thread above [threads] idles before it retires (default 10)
    @param max_blocked spare threads, past [threads_max], for those in {!blocking}
      (default 0)
    @param queue_limit most queued tasks (default: no limit)
    @param when_full default [`Reject]
    @param max_running most running tasks of a priority
    @param measure [`Times] keeps the histograms, at a clock read each when a task is
      queued, starts and ends
    @param tick_ms CPU-bound OCaml tasks hand the runtime over after this time and not
      after the runtime's own 50 ms. One clock for the process: the shortest wins.
    @param kind [`Domains] (OCaml 5) runs tasks in parallel. It is not free: once a
      domain was started [Unix.fork], and so [Lwt_process], fails for the rest of the
      process (a lazy pool starts none before its first task), and tasks that allocate a
      lot slow down when there are more domains than cores. Keep to
      [Domain.recommended_domain_count () - 1].
    @raise Invalid_argument on a value out of range, naming it
    @raise Sys_error when the system refuses a thread *)

val create_async :
  ?who:string ->
  ?name:string ->
  ?threads_max:int ->
  ?idle:float ->
  ?max_blocked:int ->
  ?queue_limit:int ->
  ?when_full:'state when_full ->
  ?max_running:(priority -> int option) ->
  ?measure:[ `Nothing | `Times ] ->
  ?tick_ms:int ->
  ?kind:[ `Threads | `Domains ] ->
  ?main:Main.t ->
  threads:int ->
  init:(unit -> 'state) ->
  at_exit:('state -> unit) ->
  (('state t, exn * Printexc.raw_backtrace) result -> unit) ->
  unit
(** {!create} without waiting: the last argument is called in [main]'s dispatch
    (without [main]: on some other thread) with the pool or why there is none. [main]
    must be the caller's; threads that come later are made there.
    @param who the name for error messages *)

val run :
  ?main:Main.t ->
  ?priority:priority ->
  ?start_within:float ->
  'state t ->
  ('state -> 'a) ->
  'a Future.t
(** [run pool f] runs [f state] on a thread of [pool], FIFO within a priority. What
    [f] raises settles the future, [Stack_overflow] from OCaml 4.14 on: 4.13 itself loses
    values that were allocated before a stack overflowed, so no program can rely on what
    it does afterwards. [f] may call {!Main.run_in}.
    @param main where the callbacks of [Future.on_settle] run
    @param priority the highest queued one starts first, but every 32nd start serves
      the lowest
    @param start_within in seconds: a task that no thread has started by then settles as
      expired, on time even when every thread is stuck
    @raise Weir.Closed after a close
    @raise Weir.Full at the queue limit: see {!when_full}
    @raise Invalid_argument at the limit ([`Block]) on a thread of the pool
    @raise Failure in the child of a fork *)

val cancel_requested : unit -> bool
(** In a task: has {!Future.cancel} been called on it? A task that then raises
    {!Weir.Canceled} settles as canceled. Nothing else stops a running task, which may be
    inside a query of sqlite. *)

val blocking : (unit -> 'a) -> 'a
(** [blocking f] is [f ()]. In a task, around a wait for another task of its pool: while
    it runs, the pool may start a spare thread, up to [max_blocked] of them.
    {!Future.await} does it by itself. Without effect elsewhere. *)

val spawning : (unit -> 'a) -> 'a
(** [spawning f] is [f ()]. In a task, around [Unix.create_process], [Unix.open_process]
    and their kin: meanwhile the thread has the signal mask of the thread that opened the
    pool, and the command inherits that. Without it the command ignores SIGTERM, because
    these start it without a fork and a worker blocks the signal. A child of [Unix.fork]
    has that mask by itself. Keep [f] short: OCaml may run the program's signal handlers
    on the worker meanwhile. Without effect elsewhere, and in the [init] of the threads
    that a pool begins with. *)

val close : ?mode:mode -> _ t -> unit
(** Closes for new tasks at once and waits until every thread has run [at_exit] and
    ended. Closing again waits for the same end; [`Reject] (the default) after [`Drain]
    gives the queue up, [`Drain] after [`Reject] changes nothing.
    @raise Invalid_argument on a thread of the pool *)

val close_within : ?mode:mode -> _ t -> float -> bool
(** The same, but after so many seconds what is still queued settles as closed and it
    returns [false]; the close goes on.
    @raise Invalid_argument unless the time is at least 0 *)

val close_async : ?who:string -> ?mode:mode -> ?main:Main.t -> _ t -> (unit -> unit) -> unit
(** Begins a close and returns. The function is called when every thread has ended:
    in [main]'s dispatch; without [main] on a thread of weir's own.
    @param who the name for error messages *)

include Control.S with type 'state t := 'state t

(**/**)

val times_out : _ t -> unit
(** One more of {!Stats.t}'s [timed_out]. *)

val unhandled : _ t -> exn -> Printexc.raw_backtrace -> unit
(** A task's, to {!Weir.on_unhandled}. *)
