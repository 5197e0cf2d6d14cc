(* SPDX-License-Identifier: ISC *)

(** What {!Weir_lwt} and {!Mwt} share: the main of the thread that runs Lwt's loop, and
    promises for what comes back through it. The string names the caller's function in
    error messages. *)

val main : string -> Weir.Main.t
(** The loop's main, opened by the first call, whose thread is the loop's from then on.
    Its descriptor is watched by the engine that is current now.
    @raise Invalid_argument on any other thread *)

val resolve : closed:exn -> 'a Lwt.u -> 'a Weir.Future.outcome -> unit
(** On the loop's thread. [closed] stands for the outcome of the same name. *)

val opened : 'a Lwt.u -> ('a, exn * Printexc.raw_backtrace) result -> unit
val close : string -> ?mode:Weir.Pool.mode -> _ Weir.Pool.t -> unit Lwt.t

val run_in_main : string -> (unit -> 'a Lwt.t) -> 'a
(** From any thread but the loop's. *)
