(* SPDX-License-Identifier: ISC *)

val store : string -> Store.t
(** Packages in the SQLite database in this file. *)

val interruptible : Sqlite3.db -> (unit -> 'a) -> 'a
(** [interruptible db f], in a task, is [f ()]. After a cancel or a timeout of the task each call
    of SQLite that [f] is in or makes ends by the code [INTERRUPT], and [Sqlite3.prepare], which
    has no code, by {!Weir.Canceled}. [f] leaves no statement running, and cannot [VACUUM]. *)

val check : Sqlite3.db -> Sqlite3.Rc.t -> unit
(** Raises [Weir.Canceled] for [INTERRUPT], and [Failure] for other codes that are no success. *)
