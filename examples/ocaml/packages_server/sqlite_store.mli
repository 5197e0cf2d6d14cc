(* SPDX-License-Identifier: ISC *)

val store : string -> Store.t
(** Packages in the SQLite database in this file. *)

val interruptible : Sqlite3.db -> (unit -> 'a) -> 'a
(** [interruptible db f], in a task, is [f ()]. After a cancel or a timeout of the task each call
    of SQLite that [f] is in or makes ends by the code [INTERRUPT], or [Sqlite3.prepare], which
    has no code, by an exception. Whatever [f] raises then becomes {!Weir.Canceled}. [f] leaves no
    statement running, and cannot [VACUUM]. *)

val check : Sqlite3.db -> Sqlite3.Rc.t -> unit
(** Raises [Weir.Canceled] for [INTERRUPT], and [Failure] for other codes that are no success. *)

val exec : Sqlite3.db -> string -> unit
(** [Sqlite3.exec], with {!check}. *)

val transaction : Sqlite3.db -> (unit -> 'a) -> 'a
(** [transaction db f] is [f ()] between BEGIN and COMMIT. If [f] raises, ROLLBACK undoes what it
    did. *)
