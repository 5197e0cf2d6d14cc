(* SPDX-License-Identifier: ISC *)

(** The package lists that this machine has. *)

val here : unit -> string list
(** The lists that apt has fetched, else what dpkg knows to be installed. Runs a
    program and waits for it. *)

val read : string -> (in_channel -> 'a) -> 'a
(** [read path f] is [f channel], where [channel] reads the list [path],
    decompressed if need be. @raise Failure when it cannot be read. *)
