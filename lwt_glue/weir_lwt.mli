(* SPDX-License-Identifier: ISC *)

(** Preemptive thread pools for programs on the Lwt event loop.

    Only the thread that runs the loop may call the functions here, unless one says
    otherwise. On another thread they raise [Invalid_argument], which names the function and
    {!run_in_main}. The first call makes its thread the loop's until the process ends:
    [Lwt_main.run] belongs on that thread.

    An exception in a callback that Lwt does not catch leaves [Lwt_main.run] unchanged, as it
    does with [Lwt_unix.sleep]. These are the exceptions that Lwt's [Exception_filter] lets
    through (from Lwt 5.7 on; by default [Out_of_memory] and [Stack_overflow] from Lwt 6 on),
    and what [Lwt.async_exception_hook] raises. Promises of pools resolve afterwards as
    before. *)

type 'state t = 'state Weir.Pool.t
(** A pool whose threads have a ['state] each. An unreachable pool is not closed: its threads
    and states stay until the process ends. *)

exception Closed
(** Is {!Weir.Closed}: the pool is closed, or was closed before the task started. *)

exception Full
(** Is {!Weir.Full}: the queue is at its [queue_limit], or a newer task has taken the place of
    this one. *)

exception Timeout
(** The [timeout] of {!run} has passed. *)

type mode = Weir.Pool.mode
(** What {!close} does with queued tasks: [`Reject] rejects them with {!Closed}, [`Drain] runs
    them first. *)

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
(** Starts [threads] threads, and resolves when each has run [init]. If an [init] raises, the
    promise is rejected with its exception after the other threads have run [at_exit] and
    ended. With [~threads:0 ~threads_max:n] the pool has no thread before its first task, for
    which the loop makes one. For all that is not described here see {!Weir.Pool.create}.
    @param name names the threads: [name/0], [name/1], ...
    @param queue_limit most queued tasks (default: no limit).
    @param when_full what {!run} does at the [queue_limit]; without a limit no queue is full.
      [`Reject] (default) rejects with [Full]. [`Wait] keeps the promise pending, in order,
      until there is a thread, as [Lwt_preemptive.detach] does. Then the limit bounds nothing,
      because calls that wait are queued; a drain runs them. [`Run_here state] runs the
      task on the loop, which stands still meanwhile. [`Drop_oldest] rejects the oldest
      queued task with [Full].
    @param tick_ms how long a CPU-bound OCaml task may keep the runtime from other threads, in
      ms (default: 50 ms for each busy thread, as the runtime has it). The loop's thread is let
      in early anyway.
    @param kind [`Domains] (OCaml 5) runs tasks in parallel. Once a domain was started,
      [Unix.fork], [Lwt_unix.fork] and [Lwt_process] fail for the rest of the process.
    @param close_at_exit closes the pool when the program exits, through [Lwt_main.at_exit];
      also when a handler of SIGTERM calls [exit], which it must do once: a second call ends the
      program at once.
    @param exit_within how many seconds the exit waits for that close at most. Without it the
      exit waits as long as tasks of the pool start and end, and goes on after 5 s in which
      none did. Then a message on stderr names the pool and the number of tasks that are
      left, and the process ends without them. It does nothing without [close_at_exit].
    @raise Invalid_argument on a value out of range, naming it. *)

val run :
  ?priority:Weir.priority ->
  ?start_within:float ->
  ?timeout:float ->
  ?label:string ->
  'state t ->
  ('state -> 'a) ->
  'a Lwt.t
(** [run pool f] runs [f state] on a thread of [pool]. It never blocks. If [f] raises, the
    promise is rejected with the exception, and its first handler may ask [Printexc] for the
    backtrace. After a close the promise is rejected with {!Closed}, and at the [queue_limit]
    with {!Full}, unless [when_full] has another answer. [Lwt.cancel] takes a queued task back
    and asks a running one to stop (see {!Weir.Pool.cancel_requested}); the promise is rejected
    with [Lwt.Canceled], and a value that still comes is discarded. What a task raises after its promise
    has ended goes to {!Weir.on_unhandled}, unless it is {!Weir.Canceled}.

    [f] runs beside the loop and must not use Lwt: no promise may be made, bound or resolved
    there, because Lwt has no locks. It may call {!run_in_main}.
    @param start_within in seconds: if no thread has started the task by then, it is rejected
      with [Weir.Expired], on time even when every thread is stuck.
    @param timeout in seconds: unless the task has ended by then, the promise is rejected with
      [Timeout] and counted as [timed_out]. A queued task is taken back. A running task is
      asked to stop ([Weir.Pool.cancel_requested]), and counts as running until it returns.
      A call that does not ask, for example a query of sqlite, is interrupted by
      [Weir.Pool.on_cancel], by [Lwt.cancel] as well.
    @param label names a kind of task, such as ["import"], in {!running}, by [Weir.Watch] and
      weir-top. All texts of the process share 256 kB, and a task whose new text finds no room
      has no label. For [priority] see [Weir.Pool.run]. *)

val map_p : 'state t -> ('state -> 'a -> 'b) -> 'a list -> 'b list Lwt.t
(** [map_p pool f xs] runs [f state x] for each [x] as a task of its own, and resolves to the
    results in the order of [xs]. If some fail it is rejected with one of their exceptions,
    after all have ended. [Lwt.cancel] cancels each, as it does with {!run}. All are submitted
    at once: a [queue_limit] below their number refuses some, which fail with {!Full}. *)

val with_pool : ?mode:mode -> 'state t Lwt.t -> ('state t -> 'a Lwt.t) -> 'a Lwt.t
(** [with_pool (create ~threads:2 ~init ~at_exit ()) f] opens the pool, and closes it when the
    promise of [f pool] has ended, with a value or without. It resolves when the pool has
    closed. *)

val close : ?mode:mode -> _ t -> unit Lwt.t
(** Closes the pool for new tasks at once. Resolves when every thread has run [at_exit] and
    ended. Closing again waits for the same end. [`Reject] (default) after [`Drain] gives the
    queue up. *)

val close_within : ?mode:mode -> _ t -> float -> bool Lwt.t
(** The same with a limit in seconds. [true] says that every thread has ended, and with
    [`Drain] that every queued task has run. After the limit, what is still queued is rejected
    with {!Closed} and the promise resolves to [false]; the close goes on.
    @raise Invalid_argument unless the time is at least 0 *)

val close_async : ?mode:mode -> _ t -> unit
(** {!close} without waiting. *)

val run_in_main : (unit -> 'a Lwt.t) -> 'a
(** On a thread that does not run the loop: runs [f ()] on the loop's thread, waits for its
    promise, and returns its value or raises its exception. A cancel or a timeout of the task
    that waits so does not end the wait; where that promise may stay pending, cancel it in
    [Weir.Pool.on_cancel], as the guide for OCaml does.

    [f] may wait for another task of the caller's pool if a thread is left for that task, or
    comes: see {!Weir.Pool.blocking}. If [f] runs a task there and returns a pending promise,
    the call counts as waiting for that task until it settles, because Lwt does not tell what
    a promise waits for. A task with a [timeout] or [start_within] does not count.
    @raise Invalid_argument on the loop's thread. Also when no pool was made there and {!main}
      was not called; and, naming the pool, when every thread of the caller's pool waits so.
    @raise Weir.Closed when [f] calls [exit] *)

val run_in_main_dont_wait : (unit -> unit Lwt.t) -> (exn -> unit) -> unit
(** [run_in_main_dont_wait f handler] has [f ()] run on the loop's thread, and returns at once.
    [handler] gets what [f] raises or its promise is rejected with, on the loop's thread, and
    must not raise. Any thread may call it, the loop's as well.
    @raise Invalid_argument when no pool was made and {!main} was not called *)

val main : unit -> Weir.Main.t
(** The loop's main, for tasks of any {!Weir.Pool}. This makes the calling thread the loop's,
    so that other threads may call {!run_in_main} before there is a pool. *)

val pool : 'state t -> 'state Weir.Pool.t
(** The same pool, for the functions of {!Weir.Pool}. Any thread. *)

include Weir.Control.S with type 'state t := 'state t
(** @inline *)
