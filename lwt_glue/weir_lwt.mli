(* SPDX-License-Identifier: ISC *)

(** Preemptive thread pools for programs that live on the Lwt event loop.

    Unless it says otherwise, a function here belongs to the thread that runs
    the loop; elsewhere it raises [Invalid_argument] naming itself and
    {!run_in_main}. The first call of one makes its thread the loop's until the process
    ends: [Lwt_main.run] belongs on that thread.

    What Lwt does not catch in a callback leaves [Lwt_main.run] unchanged, as it does out
    of [Lwt_unix.sleep]: what its [Exception_filter] lets through (Lwt 5.7 on; by default
    [Out_of_memory] and [Stack_overflow] from Lwt 6 on) and what [Lwt.async_exception_hook]
    raises. Promises of pools resolve afterwards as before. *)

type 'state t = 'state Weir.Pool.t
(** A pool whose threads each carry a ['state]. An unreachable pool is not
    closed: its threads and states stay until the process ends. *)

exception Closed
(** {!Weir.Closed}: the pool is closed, or was closed before the task started. *)

exception Full
(** {!Weir.Full}: the queue is at its [queue_limit], or the task gave its place to a newer
    one. *)

exception Timeout
(** The [timeout] of {!run} passed. *)

type mode = Weir.Pool.mode
(** What {!close} does with queued tasks: [`Reject] them with {!Closed}, or [`Drain]: run them
    first. *)

val create :
  ?name:string ->
  ?threads_max:int ->
  ?idle:float ->
  ?max_blocked:int ->
  ?queue_limit:int ->
  ?when_full:[ `Reject | `Wait | `Run_here of unit -> 'state | `Drop_oldest ] ->
  ?max_running:(Weir.priority -> int option) ->
  ?measure:[ `Nothing | `Times ] ->
  ?tick_ms:int ->
  ?kind:[ `Threads | `Domains ] ->
  ?close_at_exit:mode ->
  ?exit_within:float ->
  threads:int ->
  init:(unit -> 'state) ->
  at_exit:('state -> unit) ->
  unit ->
  'state t Lwt.t
(** Starts [threads] threads and resolves when each has run [init]. If one
    raises, the promise is rejected with its exception once the others have run
    [at_exit] and ended. With [~threads:0 ~threads_max:n] the pool has no thread before
    its first task, for which the loop makes one. What is not said here is {!Weir.Pool.create}'s.
    @param name names the threads: [name/0], [name/1], ...
    @param queue_limit most queued tasks (default: no limit).
    @param when_full [`Reject] (default) rejects with [Full], where
      [Lwt_preemptive.detach] has its caller wait for a thread; [`Wait] does that: it keeps
      the promise pending, in order, until there is space and a thread; [`Run_here state]
      runs the task on the loop, which stands still meanwhile; [`Drop_oldest] rejects
      the oldest queued task with [Full]. Without [queue_limit] no queue is full.
    @param tick_ms at most how long CPU-bound OCaml tasks keep the loop waiting
      between switches, in ms (default: the runtime's 50 per busy thread).
    @param kind [`Domains] (OCaml 5) runs tasks in parallel. Once a domain was started
      [Unix.fork], [Lwt_unix.fork] and [Lwt_process] fail for the rest of the process.
    @param close_at_exit closes the pool when [Lwt_main.run]'s program exits,
      through [Lwt_main.at_exit]; so also when a handler of SIGTERM calls [exit].
    @param exit_within most seconds that the exit waits for that close. Without it the
      exit waits as long as tasks of the pool start and end, and goes on once 5 s have
      passed in which none did. Then stderr names the pool and counts the tasks that are
      left, and the process ends without them.
    @raise Invalid_argument on a value out of range, naming it. *)

val run :
  ?priority:Weir.priority ->
  ?start_within:float ->
  ?timeout:float ->
  'state t ->
  ('state -> 'a) ->
  'a Lwt.t
(** [run pool f] runs [f state] on a thread of [pool]. Never blocks. What [f]
    raises rejects the promise; its first handler may ask [Printexc] for the
    backtrace. [Lwt.cancel] takes a queued task back; a running one goes on, its
    value is discarded. What a task raises after its promise has ended goes to
    {!Weir.on_unhandled}.

    [f] runs beside the loop and must not touch Lwt: no promise may be made, bound or
    resolved there, because Lwt has no locks. It may call {!run_in_main}.
    @param start_within in seconds: a task that no thread has started by then is
      rejected with [Weir.Expired], on time even when every thread is stuck.
    @param timeout in seconds: then the promise is rejected with [Timeout], unless the
      task has ended by then, and counted as [timed_out]; a queued task is taken back, a
      running one is asked to stop ([Weir.Pool.cancel_requested]), goes on and
      counts as running until it returns. Nothing interrupts a call that does not look,
      a query of sqlite for example. *)

val close : ?mode:mode -> _ t -> unit Lwt.t
(** Closes at once for new tasks; resolves when every thread has run [at_exit]
    and ended. Closing again waits for the same end; [`Reject] (default) after
    [`Drain] gives up the queue. *)

val close_within : ?mode:mode -> _ t -> float -> bool Lwt.t
(** The same, but after so many seconds what is still queued is rejected with {!Closed}
    and it resolves to [false]; the close goes on.
    @raise Invalid_argument unless the time is at least 0 *)

val close_async : ?mode:mode -> _ t -> unit
(** {!close} without waiting. *)

val run_in_main : (unit -> 'a Lwt.t) -> 'a
(** On a thread that does not run the loop: runs [f ()] on the loop and waits for
    its promise. Inside a task, the loop is the one that submitted it.

    [f] may wait for another task of the caller's pool if a thread is left for it, or
    comes: see {!Weir.Pool.blocking}. When [f] runs one there and returns a pending promise,
    the call counts as waiting for that task until it settles, because Lwt does not
    tell what a promise waits for; a task with a [timeout] or [start_within] does not count.
    @raise Invalid_argument on the loop's thread; before any pool was made there and
      {!main} was called; and, naming the pool, when every thread of the caller's pool
      waits so.
    @raise Weir.Closed when [f] calls [exit]. *)

val main : unit -> Weir.Main.t
(** The loop's main, to aim tasks of any {!Weir.Pool} at. Calling it makes the calling
    thread the loop's, so that other threads may call {!run_in_main} before there is a
    pool. *)

val pool : 'state t -> 'state Weir.Pool.t
(** The pool below, for the functions of {!Weir.Pool}. Any thread. *)

include Weir.Control.S with type 'state t := 'state t
(** @inline *)
