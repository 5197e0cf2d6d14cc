(* SPDX-License-Identifier: ISC *)

val store : string -> Store.t
(** Packages in the SQLite database in this file. *)
