(* SPDX-License-Identifier: ISC *)

val store : string -> Store.t
(** Packages in the SQLite database in this file. *)

val interruptible : Sqlite3.db -> (unit -> 'a) -> 'a
(** [interruptible db f], in a task, is [f ()]. A cancel or a timeout of the task ends the call
    of SQLite that [f] is in, by its code [INTERRUPT]. *)

val check : Sqlite3.db -> Sqlite3.Rc.t -> unit
(** Raises [Weir.Canceled] for [INTERRUPT], and [Failure] for other codes that are no success. *)
