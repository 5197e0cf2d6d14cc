(* SPDX-License-Identifier: ISC *)

(** The package lists that this machine has. *)

val here : unit -> string list
(** The lists that apt has fetched; if there are none, the packages that dpkg knows as
    installed. Runs a program and waits for it. *)

val read : string -> (in_channel -> 'a) -> 'a
(** [read path f] is [f channel], where [channel] reads the list [path],
    decompressed if need be. @raise Failure if it cannot be read. *)
