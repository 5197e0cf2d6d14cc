(* SPDX-License-Identifier: ISC *)

(** Preemptive threads managed from Lwt: the interface of the [mwt] package, on weir. It is a
    drop-in: write [weir-lwt.mwt] instead of [mwt] in a dune file. For cancellation, limits,
    drain and statistics see {!Weir_lwt}. *)

type 'state t
(** A pool of preemptive threads, each with its own ['state]. *)

val make : init:(unit -> 'state) -> at_exit:('state -> unit) -> int -> 'state t Lwt.t
(** [make ~init ~at_exit n] starts [n] threads, and resolves once each has run [init]. If an
    [init] raises, the promise is rejected with that exception, after the threads whose
    [init] succeeded have run [at_exit]. [at_exit state] runs on each thread immediately
    before it ends.
    @raise Invalid_argument if [n < 1] *)

val noop : unit -> unit
(** [fun () -> ()], for pools without a state. *)

val run : 'state t -> ('state -> 'a) -> 'a Lwt.t
(** [run pool f] runs [f state] on a thread of [pool], where [state] is that thread's state.
    While all threads are in use the call is queued; it never blocks the loop. If [f] raises,
    the promise is rejected with that exception. Cancelling the promise takes a queued call
    back. After {!close} or {!close_async} the promise is rejected with
    [Invalid_argument "Mwt.run"], as are the calls that are queued then. *)

val close : _ t -> unit Lwt.t
(** [close pool] closes [pool] at once. It resolves when every thread has finished its current
    task, run [at_exit] and ended. Closing again waits for the same end. *)

val close_async : _ t -> unit
(** {!close} without waiting. *)

val run_in_main : (unit -> 'a Lwt.t) -> 'a
(** [run_in_main f], on a thread of a pool, runs [f ()] on the thread of the program's Lwt
    loop, waits for the promise, and returns its value or raises its exception.
    @raise Invalid_argument on the main thread, which would wait for itself *)
