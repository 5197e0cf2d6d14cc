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

val opened : 'a Lwt.u -> ('a, exn * Printexc.raw_backtrace) result -> unit
val close : string -> ?mode:Weir.Pool.mode -> _ Weir.Pool.t -> unit Lwt.t

val run_in_main : string -> (unit -> 'a Lwt.t) -> 'a
(** On any thread but the loop's. *)
