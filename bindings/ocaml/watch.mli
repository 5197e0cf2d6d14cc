(* SPDX-License-Identifier: ISC *)

(** Tells when a task runs too long, or a loop does not turn. *)

val start : ?task:float -> ?loop:float -> unit -> unit
(** From now on a thread of weir's looks, for the whole process. It says ["task 'import' has run
    for 30 s on db/2"] when a task has run for [task] seconds, and ["the loop has not turned for
    2 s"] when a loop has not turned to its main for [loop] seconds; and again at each doubling.
    A loop is watched while something is to come to it. What was watched before is not any more.
    The texts go to stderr, or to {!report}.
    @raise Invalid_argument without a limit, or with one that is not above 0
    @raise Out_of_memory or [Sys_error] when there is no thread *)

val stop : unit -> unit
(** Nothing is watched any more. *)

val report : (string -> unit) option ref
(** Set it before {!start}: each text goes to this function in place of stderr, on a thread of
    its own, which can run when no other thread keeps the runtime. What it raises is printed.
    The library [weir.logs] sets it to a warning of [Logs], or to stderr while [Logs] has no
    reporter. *)
