(* SPDX-License-Identifier: ISC *)

(** What {!Weir_lwt} and {!Mwt} share: the main of the thread that runs Lwt's loop, and the
    promises that are resolved there. The string names the caller's function in error
    messages. *)

val main : string -> Weir.Main.t
(** The loop's main. The first call opens it, and makes the calling thread the loop's. The
    current engine watches its descriptor.
    @raise Invalid_argument on any other thread *)

val resolve : closed:exn -> 'a Lwt.u -> 'a Weir.Future.outcome -> unit
(** Resolves a promise, on the loop's thread. For the outcome [Closed] it rejects with
    [closed]. *)

val promise : closed:exn -> 'a Weir.Future.t -> 'a Lwt.t
(** The promise of a task that must not be given up while it runs: [Lwt.cancel] takes a queued
    task back, and leaves the promise of a running one pending. *)

val opened : 'a Lwt.u -> ('a, exn * Printexc.raw_backtrace) result -> unit
val close : string -> ?mode:Weir.Pool.mode -> _ Weir.Pool.t -> unit Lwt.t

val run_in_main : string -> (unit -> 'a Lwt.t) -> 'a
(** On any thread but the loop's. *)

val is_known : unit -> bool
(** Has a call of {!main} made a thread the loop's? Any thread. *)

val run_in_main_dont_wait : string -> (unit -> unit Lwt.t) -> (exn -> unit) -> unit
(** [run_in_main_dont_wait who f handler], on any thread, has [f ()] run on the loop's thread and
    returns at once. [handler] gets what [f] raises or its promise is rejected with, on the
    loop's thread, and must not raise.
    @raise Invalid_argument when no loop is known *)
