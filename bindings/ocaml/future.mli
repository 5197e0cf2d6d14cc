(* SPDX-License-Identifier: ISC *)

(** The result of a task. Any thread or domain may call the functions here, unless one says
    otherwise. *)

type 'a t
(** An unsettled future keeps its pool from being collected. *)

type 'a outcome = 'a Promise.outcome =
  | Value of 'a
  | Raised of exn * Printexc.raw_backtrace
  | Canceled  (** taken back from the queue, or stopped on request *)
  | Closed  (** the pool closed before the task started *)
  | Expired  (** the task had not started by its deadline *)
  | Full  (** the queue was full, and a newer task took the place of this one *)

val await : 'a t -> 'a
(** Waits, then returns the value, or raises the task's exception with its backtrace. For
    the other outcomes it raises {!Weir.Canceled}, {!Weir.Closed}, {!Weir.Expired} or
    {!Weir.Full}. Any number of threads may wait.

    On a thread that owns mains it dispatches them meanwhile, because the task may wait for
    a call into one of them. A thread that waits for a task of its own pool makes room for a
    spare thread, as {!Weir.Pool.blocking} does.
    @raise Invalid_argument when the caller is this very task. Also on a thread of the same
      pool when all its other threads wait so and the pool gets no further thread, because
      nobody would be left to run the task. *)

val outcome : 'a t -> 'a outcome
(** Waits as {!await} does. *)

val poll : 'a t -> 'a outcome option
(** [None] while the task is queued or runs. *)

val cancel : _ t -> [ `Taken_back | `Running | `Settled ]
(** Takes a queued task back: it settles as [Canceled] now. Asks a running task to stop,
    see {!Weir.Pool.cancel_requested}. *)

val on_settle : 'a t -> ('a outcome -> unit) -> unit
(** [on_settle t f] calls [f] once [t] has settled. With a main, [f] runs inside its
    dispatch. Without a main it runs on the thread that settled the task. If the callbacks of
    [t] have been called already, [f] runs at once, on the calling thread. {!await} and
    {!poll} may know the outcome before the main is dispatched. What [f] raises goes to the
    main's [uncaught]; without a main it is printed. *)

val value : 'a outcome -> 'a
(** Returns the value, or raises as {!await} does. *)

(** {1 Futures made of others}

    They settle where the callbacks of what they are made of run, see {!on_settle}, and have
    no task: {!cancel} returns [`Settled]. Cancel the futures that they are made of. *)

val map : ('a -> 'b) -> 'a t -> 'b t
(** [map f t] has the value [f x] when [t] has the value [x], what [f] raises, or the failure of
    [t]. [f] runs as a callback of [t]. *)

val both : 'a t -> 'b t -> ('a * 'b) t
(** Both values, or the first failure. *)

val all : 'a t list -> 'a list t
(** All values, in the order of the list, or the first failure, at once.
    @raise Invalid_argument on an empty list *)

val any : 'a t list -> 'a t
(** The outcome of the first to settle, be it a value or a failure. The others go on.
    @raise Invalid_argument on an empty list *)

(** {1 Futures without a pool} *)

val outside : unit -> 'a t * ('a outcome -> unit)
(** A future of something that is no task, for example of a job on another machine, and the
    function that settles it. Any thread may call that. The first call wins, and the callbacks
    of {!on_settle} run inside it. {!cancel} returns [`Settled] and changes nothing, because
    only who made the future knows how to take back what it stands for. *)

(**/**)

val ends_in_time : _ t -> unit
(** The user cancels it at some time, so nobody waits for it for ever. *)

val of_promise : 'a Promise.t -> 'a t
