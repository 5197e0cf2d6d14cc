(* SPDX-License-Identifier: ISC *)

(** The mailbox of a thread that runs an event loop: what the glue of a loop needs.

    A main belongs to the thread that created it; only there may it be dispatched,
    waited for and closed ([Invalid_argument] elsewhere). Watch {!fd} for reading and
    call {!dispatch} when it is readable. *)

type t

val create : ?uncaught:(exn -> Printexc.raw_backtrace -> unit) -> unit -> t
(** A main of the calling thread. [uncaught] gets what a callback raises that runs
    inside its dispatch: of {!Weir.Future.on_settle}, {!Weir.Pool.create_async} and
    {!Weir.Pool.close_async}. By default it is printed, but [Sys.Break] is raised.
    What [uncaught] raises leaves the dispatch; what was not delivered stays, in order,
    and keeps {!fd} readable.
    @raise Unix.Unix_error when the process is out of descriptors. *)

val fd : t -> Unix.file_descr
(** Readable while something waits for {!dispatch}. Never read or close it. It stays
    the same until {!close}, in the child of a fork too. Any thread. *)

val dispatch : ?max:int -> t -> int
(** Delivers what is there now, in order, without waiting: at most [max] when given.
    Returns how many. What stays keeps {!fd} readable. Callbacks may call anything
    here but {!close}. *)

val wait : ?timeout:float -> t -> int
(** Waits until something can be delivered, at most [timeout] seconds, and dispatches.
    0 when the time passed; at once when nothing is pending and there is no timeout. *)

val pending : t -> int
(** What is still to come or to be delivered. A loop may end when it is 0. Any thread. *)

val on_busy : t -> ([ `Busy | `Idle ] -> unit) option -> unit
(** [`Busy] when {!pending} leaves 0, [`Idle] when it is 0 again, so that the glue may
    hold and release its loop: on this thread, inside dispatch or the call that changed
    it. At once if it is busy now. [None] ends it. *)

val close : ?detach:bool -> t -> unit
(** Delivers what is undelivered; tasks aimed at this main that did not start settle as
    closed; calls to it raise {!Weir.Closed}. Closing again does nothing. No other
    thread may begin to use the main meanwhile.
    @param detach close although tasks aimed at it still run: their callbacks will run
      on their workers.
    @raise Failure when such tasks run, and inside its own dispatch. *)

(** {1 Calling into a main}

    From every thread but its own. *)

val run_in : ?main:t -> (unit -> 'a) -> 'a
(** [run_in f] runs [f ()] on the thread of [main], inside its dispatch, and returns
    its value or raises its exception ([Sys.Break] goes to [main]'s [uncaught] as well). Without [main]: that of the task which the
    caller runs, else the first one that the process opened. Where no loop turns yet
    it waits for one.
    @raise Weir.Closed when the main closes first, or [f] calls [exit], or no main is
      there.
    @raise Invalid_argument on the main's own thread; and in a task, naming its pool, when
      [f] waits for a task of that same pool and so does every thread of it. *)

type 'a reply

val call : ?who:string -> ?main:t -> ('a reply -> unit) -> 'a
(** The same for a function that ends later: [call f] returns when somebody has
    called {!finish}. A function that returns without, and has run a task in the caller's
    own pool, counts as waiting for it until it settles.
    @param who the name for error messages What [f] itself raises ends the call, or goes to [main]'s
    [uncaught] when the call has ended. *)

val finish : 'a reply -> ('a, exn * Printexc.raw_backtrace) result -> unit
(** Ends a call, once; on the main's thread. Does nothing if the main was closed, or the
    call was given up.
    @raise Invalid_argument the second time. *)

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
