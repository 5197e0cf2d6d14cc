(* SPDX-License-Identifier: ISC *)

val store : string -> Store.t
(** Packages in the PostgreSQL database that this connection string names.
    @raise Failure if the program was built without PostgreSQL's library. *)
