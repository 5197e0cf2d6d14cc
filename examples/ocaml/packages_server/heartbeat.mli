(* SPDX-License-Identifier: ISC *)

(** How long the loop keeps a timer waiting that is due every millisecond. *)

type t

val start : unit -> t

val worst : t -> float
(** The longest gap between two beats, in ms, since the last call. *)
