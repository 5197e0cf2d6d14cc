(* SPDX-License-Identifier: ISC *)

(** What may be searched for: text that every database takes. *)

val is_valid : string -> bool

val valid : string
(** What {!is_valid} accepts, in words for the client. *)
