(* SPDX-License-Identifier: ISC *)

(** How long the end of a program waits for a pool that closes. *)

val until_stuck : pause:(unit -> unit Lwt.t) -> look:(unit -> 'a) -> unit Lwt.t -> bool Lwt.t
(** [until_stuck ~pause ~look closed] resolves to [true] with [closed]; to [false] when
    [look ()], which it compares after every [pause ()], has been the same {!looks} times
    in a row. *)

val looks : int

val wait : ?within:float -> _ Weir.Pool.t -> unit Lwt.t -> bool Lwt.t
(** [wait pool closed] resolves to [true] with [closed]; to [false] after [within] seconds
    or, without, once 5 s have passed in which no task of [pool] started or ended and no
    thread left. *)

val tell : _ Weir.Pool.t -> unit
(** Says on stderr which pool the program does not wait for, and what is left in it. *)
