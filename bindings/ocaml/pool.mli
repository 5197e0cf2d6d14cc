(* SPDX-License-Identifier: ISC *)

(** A pool is a named set of threads, each with a state of its own, and one queue.

    Any thread or domain may call the functions here, tasks included, unless one says
    otherwise. Close each pool: an unreachable pool keeps its threads and states until the
    process ends. Only a pool without a thread is closed when it is collected. At the end of
    the process nobody waits for a pool, and no [at_exit] runs.

    A task's thread blocks all signals but those that the runtime needs. For commands that a
    task starts see {!spawning}. [exit] in a task raises [Failure]: call it on the main
    thread. Before OCaml 5, [Thread.exit] in a task fails the task and runs [at_exit], and
    the pool gets a new thread; from 5.0 on it is an exception like others. In the child of
    a fork all pools are dead: {!run} raises [Failure]. *)

type 'state t
type priority = Options.priority = High | Normal | Low

type mode = [ `Reject | `Drain ]
(** What a close does with queued tasks: [`Reject] settles them as closed, [`Drain] runs them
    first. *)

type 'state when_full = [ `Reject | `Block | `Run_here of unit -> 'state | `Drop_oldest ]
(** What {!run} does at the [queue_limit]:
    - [`Reject] raises {!Weir.Full};
    - [`Block] waits for space;
    - [`Run_here state] runs the task on the calling thread, with [state ()]. Before OCaml 5
      such a task may not call [Thread.exit];
    - [`Drop_oldest] looks for the lowest priority that is not above the new task's, and
      settles its oldest queued task as full. It raises {!Weir.Full} when every queued task
      has a higher priority. *)

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
(** Starts [threads] threads (0 to 1024) and waits until each has run [init]. [at_exit
    state] runs on the same thread before it ends. If an [init] raises, so does [create],
    after the other threads have run [at_exit] and ended.

    With [~threads:0 ~threads_max:n] the pool is lazy: [create] does not wait, its first task
    brings a thread, and every thread that idles retires. So a library may own a pool that
    costs no thread and no state while nobody uses it. If an [init] raises while the pool has
    no other thread and none is on its way, the queued tasks fail with that exception, and
    {!Weir.on_unhandled} gets it once. If the system refuses the thread, they fail with
    [Sys_error]. The next task tries again. [main]'s thread makes the threads (see
    {!create_async}), else one thread of weir's own for all pools.

    A thread has the stack size of [ulimit -s]. It inherits its CPUs from the thread that
    makes it; [init] may choose others.
    @param name names the threads [name/0], [name/1], ... in at most 15 bytes: a long name is
      cut, the number is not
    @param threads_max the pool grows up to here, a thread at a time, while tasks find no
      idle thread (default: [threads]; at least 1). If the [init] of a new thread raises, the
      thread is given up with a message. The pool tries again when a task waits, also after
      the system has refused a thread.
    @param idle seconds that a thread above [threads] idles before it retires (default 10)
    @param max_blocked most spare threads, past [threads_max], that stand in for threads in
      {!blocking} (default 0)
    @param queue_limit most queued tasks (default: no limit)
    @param when_full default [`Reject]
    @param max_running most running tasks of a priority (default: no limit)
    @param measure [`Times] keeps the histograms. It costs a read of the clock when a task
      is queued, when it starts and when it ends.
    @param tick_ms a CPU-bound OCaml task hands the runtime over to any thread that waits for
      it after this time, in ms (default: after 50 ms, as the runtime has it). There is one
      clock for the process, and the shortest time holds. A thread with a main (a loop's) does
      not wait that long: a task is interrupted at once for it, and again, within 1 ms and then
      every 0.15 ms, until it is in. OCaml code heeds an interrupt where it allocates and at
      each turn of a loop or of a tail call. A recursion that does neither, such as
      [let rec fib n = if n < 2 then 1 else fib (n - 1) + fib (n - 2)], does not before its end.
    @param kind [`Domains] (OCaml 5) runs tasks in parallel, at two costs. Once a domain was
      started, [Unix.fork] fails for the rest of the process, and with it [Lwt_process]; a
      lazy pool starts no domain before its first task. And tasks that allocate much slow
      down when there are more domains than cores, so keep to
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
(** {!create} without waiting. The last argument is called in [main]'s dispatch with the
    pool, or with the reason why there is none; without [main], on a thread of weir's own.
    [main] must belong to the calling thread, which also makes the threads that come later.
    @param who the caller's name in error messages *)

val run :
  ?main:Main.t ->
  ?priority:priority ->
  ?start_within:float ->
  ?label:string ->
  'state t ->
  ('state -> 'a) ->
  'a Future.t
(** [run pool f] runs [f state] on a thread of [pool]. Tasks of one priority start in the
    order of their submission. What [f] raises settles the future. That holds for
    [Stack_overflow] from OCaml 4.14 on; 4.13 itself loses values that were allocated before
    the stack overflowed. [f] may call {!Main.run_in}.
    @param main in whose dispatch the callbacks of [Future.on_settle] run
    @param priority the highest priority starts first, but every 32nd start serves the
      lowest
    @param start_within in seconds: if no thread has started the task by then, it settles as
      expired, on time even when every thread is stuck
    @param label names a kind of task, such as ["import"], in {!running}, by {!Weir.Watch} and
      in traces. Each text is kept for good, and all of the process share 256 kB. A task whose
      new text finds no room has no label, so no text should name one task (["import 4711"])
    @raise Weir.Closed after a close
    @raise Weir.Full at the queue limit, see {!when_full}
    @raise Invalid_argument with [`Block], at the limit, on a thread of the pool
    @raise Failure in the child of a fork *)

val cancel_requested : unit -> bool
(** In a task: was {!Future.cancel} called on it? A task that then raises {!Weir.Canceled}
    settles as canceled. Nothing else stops a running task: it may be inside a C library, for
    example in a query of sqlite, which {!on_cancel} can interrupt. *)

val on_cancel : (unit -> unit) -> (unit -> 'a) -> 'a
(** [on_cancel stop f], in a task, is [f ()]. When {!Future.cancel} is called on the task while
    [f] runs, or was before, [stop ()] is called, once. It runs on the thread that cancels, for
    [Weir_lwt] the loop's, so it must not wait. It makes [f] return, for example by
    [sqlite3_interrupt] or by closing a socket. [on_cancel] does not return while [stop] runs,
    so what [f] used may be freed afterwards. Sections may be nested: the inner one is stopped
    first, the outer one when the inner one has ended. What [stop] raises is printed. Elsewhere
    it is just [f ()].

    It is not called again if [f] goes on, because a second close could end another's socket. So
    a request must not get lost: sqlite forgets an interrupt that comes while no statement runs,
    so [f] keeps one running all the while, as the guide for OCaml does. *)

val blocking : (unit -> 'a) -> 'a
(** [blocking f] is [f ()]. Use it in a task, around a wait for another task of its pool:
    while [f] runs, the pool may have a spare thread, up to [max_blocked] of them.
    {!Future.await} does so by itself. Elsewhere it has no effect. *)

val spawning : (unit -> 'a) -> 'a
(** [spawning f] is [f ()]. Use it in a task, around [Unix.create_process],
    [Unix.open_process] and their kin: meanwhile the thread has the signal mask of the thread
    that opened the pool, and the command inherits that mask. Without it the command ignores
    SIGTERM, because the pool's thread blocks the signal and these functions start a command
    without a fork. A child of [Unix.fork] gets the right mask by itself. Keep [f] short,
    because OCaml may run the program's signal handlers on this thread meanwhile. It has no
    effect elsewhere, nor in the [init] of the threads that a pool begins with. *)

val close : ?mode:mode -> _ t -> unit
(** Closes the pool for new tasks at once, and waits until every thread has run [at_exit] and
    ended. Closing again waits for the same end. [`Reject] (the default) after [`Drain] gives
    the queue up; [`Drain] after [`Reject] changes nothing.
    @raise Invalid_argument on a thread of the pool *)

val close_within : ?mode:mode -> _ t -> float -> bool
(** The same with a limit in seconds. [true] says that every thread has ended, and with
    [`Drain] that every queued task has run. After the limit, what is still queued settles as
    closed and the function returns [false]; the close goes on.
    @raise Invalid_argument unless the time is at least 0 *)

val close_async : ?who:string -> ?mode:mode -> ?main:Main.t -> _ t -> (unit -> unit) -> unit
(** Begins a close and returns. When every thread has ended, the function is called: in
    [main]'s dispatch or, without [main], on a thread of weir's own.
    @param who the caller's name in error messages *)

include Control.S with type 'state t := 'state t

(**/**)

val times_out : _ t -> unit
(** Counts one in {!Stats.t}'s [timed_out]. *)

val unhandled : ?label:string -> _ t -> exn -> Printexc.raw_backtrace -> unit
(** Gives a task's exception to {!Weir.on_unhandled}. *)
