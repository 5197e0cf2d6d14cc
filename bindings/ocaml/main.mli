(* SPDX-License-Identifier: ISC *)

(** A main: where the results of tasks come back to a thread that runs an event loop. The
    glue of a loop needs this module.

    A main belongs to the thread that created it. Only that thread may dispatch it, wait for
    it and close it ([Invalid_argument] elsewhere). Watch {!fd} for reading, and call
    {!dispatch} when it is readable. *)

type t

val create : ?uncaught:(exn -> Printexc.raw_backtrace -> unit) -> unit -> t
(** Opens a main of the calling thread. [uncaught] gets every exception of a callback that
    runs inside its dispatch: a callback of {!Weir.Future.on_settle},
    {!Weir.Pool.create_async} or {!Weir.Pool.close_async}. The default prints it, but raises
    [Sys.Break]. What [uncaught] raises leaves the dispatch. What was not delivered by then
    stays, in order, and keeps {!fd} readable.
    @raise Unix.Unix_error when the process is out of descriptors. *)

val fd : t -> Unix.file_descr
(** A descriptor that is readable while something waits for {!dispatch}. Never read or close
    it. Its number stays the same until {!close}, also in the child of a fork. Any thread. *)

val dispatch : ?max:int -> t -> int
(** Delivers what is there now, in order and without waiting, and returns how many
    deliveries that were. With [max] it delivers at most so many, and what stays keeps {!fd}
    readable. Callbacks may call every function of this module but {!close}. *)

val wait : ?timeout:float -> t -> int
(** Waits until something can be delivered, at most [timeout] seconds, and dispatches.
    Returns 0 when the time has passed. Without [timeout] it returns 0 at once if nothing is
    pending. *)

val pending : t -> int
(** How many deliveries are still to come or to be made. A loop may end when it is 0. Any
    thread. *)

val on_busy : t -> ([ `Busy | `Idle ] -> unit) option -> unit
(** The function gets [`Busy] when {!pending} leaves 0 and [`Idle] when it is 0 again, so
    that the glue may hold and release its loop. It is called on this thread, inside
    dispatch or inside the call that changed {!pending}; and at once if the main is busy
    now. [None] ends it. *)

val close : ?detach:bool -> t -> unit
(** Delivers what is undelivered. Tasks of this main that have not started settle as closed,
    and calls to it raise {!Weir.Closed}. Closing again does nothing. No other thread may
    begin to use the main meanwhile.
    @param detach close although tasks of this main still run. Their callbacks will run on
      the pool's threads.
    @raise Failure when such tasks run, and inside the main's own dispatch. *)

(** {1 Calling into a main}

    Any thread but the main's own may do so, unless a function says otherwise. *)

val run_in : ?main:t -> (unit -> 'a) -> 'a
(** [run_in f] runs [f ()] on the thread of [main], inside its dispatch, and returns its
    value or raises its exception. [Sys.Break] goes to [main]'s [uncaught] as well. Without
    [main] it uses the main of the task that the caller runs, else the first main that the
    process opened. If no loop runs on that thread yet, it waits for one.
    @raise Weir.Closed when the main closes first, when [f] calls [exit], or when there is
      no main
    @raise Invalid_argument on the main's own thread. Also in a task, naming its pool, when
      [f] waits for a task of that same pool and every thread of the pool waits so. *)

val post : ?main:t -> (unit -> unit) -> unit
(** [post f] has [f ()] run as {!run_in} would, and does not wait for it. The main's own thread
    may post as well. {!pending} counts [f] until it has run. What is posted from one thread
    runs in that order. What [f] raises goes to [main]'s [uncaught].
    @raise Weir.Closed when [main] is closed, or when there is no main *)

type 'a reply

val call : ?who:string -> ?main:t -> ('a reply -> unit) -> 'a
(** The same for a call that may end after [f] has returned: [call f] returns when somebody
    has called {!finish}. What [f] raises ends the call; if the call has ended already, it
    goes to [main]'s [uncaught]. If [f] returns before the call has ended, and has run a task
    in the caller's own pool, the call counts as waiting for that task until it settles.
    @param who the caller's name in error messages *)

val finish : 'a reply -> ('a, exn * Printexc.raw_backtrace) result -> unit
(** Ends a call. It may be called once, on the main's thread. It does nothing if the main
    was closed or the call was given up.
    @raise Invalid_argument the second time *)

(**/**)

val make : hidden:bool -> Error.handler -> t
val rouse : t -> unit
val exiting : unit -> unit
val calls_from : Promise.pool_link -> int
val wants : Promise.pool_link -> _ Promise.t -> unit
val of_thread : unit -> t list
val raw : string -> t -> Raw.main
val uncaught : t -> Error.handler
val submitted : t -> unit
val ns_of : float option -> int
