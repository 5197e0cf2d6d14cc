(* SPDX-License-Identifier: ISC *)

val run : Store.t -> lists:string list -> unit Lwt.t
(** Fills the store with the packages of [lists], showing its progress on standard
    error while the loop goes on. All or nothing. *)
