(* SPDX-License-Identifier: ISC *)

(** Link it, and what {!Weir.Watch} finds goes to [Logs], as warnings of this source. *)

val src : Logs.src
