(* SPDX-License-Identifier: ISC *)

(** How long the loop keeps a timer waiting that is due every millisecond. *)

type t

val start : unit -> t

val report : t -> string
(** Since the last call: the longest gap between two beats in ms, then a line
    [gap AT LENGTH] for each of more than 10 ms, in seconds since 1970 and in ms. *)
