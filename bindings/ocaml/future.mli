(* SPDX-License-Identifier: ISC *)

(** What a task becomes. Unless it says otherwise, a function here may be called from
    any thread or domain. *)

type 'a t
(** Keeps its pool until it has settled. *)

type 'a outcome = 'a Promise.outcome =
  | Value of 'a
  | Raised of exn * Printexc.raw_backtrace
  | Canceled  (** taken back, or stopped on request *)
  | Closed  (** the pool closed before it started *)
  | Expired  (** not started by its deadline *)
  | Full  (** dropped: a newer task took its place in the full queue *)

val await : 'a t -> 'a
(** Waits, then returns the value or raises the exception, with its backtrace;
    {!Weir.Canceled}, {!Weir.Closed}, {!Weir.Expired} or {!Weir.Full} for the other
    outcomes. Any number of threads may wait.

    On a thread that owns mains it dispatches them meanwhile, so that a task that calls
    back, and tasks told there, can end.
    A worker that waits for a task of its own pool makes room for a spare thread, as in
    {!Weir.Pool.blocking}.
    @raise Invalid_argument when the caller is this very task, or a worker of the same
      pool whose other threads all wait likewise and that gets no other: nobody would be
      left to run it. *)

val outcome : 'a t -> 'a outcome
(** Waits as {!await} does. *)

val poll : 'a t -> 'a outcome option
(** [None] while it is queued or runs. *)

val cancel : _ t -> [ `Taken_back | `Running | `Settled ]
(** Takes a queued task back: it settles as [Canceled] now. A running one is asked to
    stop ({!Weir.Pool.cancel_requested}). *)

val on_settle : 'a t -> ('a outcome -> unit) -> unit
(** [on_settle t f] calls [f] once [t] has settled: inside the dispatch of its main or,
    when it was run without one, on the thread that settled it; at once, here, when
    that has happened before. {!await} and {!poll} may know the outcome earlier than
    the main is told. What [f] raises goes to the main's [uncaught]; without a main it
    is printed. *)

val value : 'a outcome -> 'a
(** The value, or raises as {!await} does. *)

(**/**)

val ends_in_time : _ t -> unit
(** Its user takes it back at some time: who waits for it does not for ever. *)

val of_promise : 'a Promise.t -> 'a t
