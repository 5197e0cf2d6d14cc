(* SPDX-License-Identifier: ISC *)

(** Link it, and what {!Weir.Watch} finds goes to [Logs], as warnings of this source. While the
    program has set no reporter ([Logs.set_reporter]) it goes to stderr, as without this
    library. *)

val src : Logs.src
