(* SPDX-License-Identifier: ISC *)

(** How long the end of a program waits for a pool to close. *)

val until_stuck : pause:(unit -> unit Lwt.t) -> look:(unit -> 'a) -> unit Lwt.t -> bool Lwt.t
(** [until_stuck ~pause ~look closed] resolves to [true] when [closed] resolves. It compares
    [look ()] after every [pause ()], and resolves to [false] when the value has been the same
    {!looks} times in a row. *)

val looks : int

val wait : ?within:float -> _ Weir.Pool.t -> unit Lwt.t -> bool Lwt.t
(** [wait pool closed] resolves to [true] when [closed] resolves, and to [false] after [within]
    seconds. Without [within] it resolves to [false] once 5 s have passed in which no task of
    [pool] has started or ended and no thread has left. *)

val tell : _ Weir.Pool.t -> unit
(** Prints on stderr which pool the program does not wait for, and what is left in it. *)
