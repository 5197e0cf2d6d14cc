(* SPDX-License-Identifier: ISC *)

(** Searches as promises: two implementations of one type. *)

type t = { find : string -> Store.found Lwt.t; close : unit -> unit Lwt.t }

val on_loop : Store.t -> t Lwt.t
(** One connection, used on the loop's own thread: the loop stands still while
    a search runs. *)

val in_pool : Store.t -> threads:int -> t Lwt.t
(** One connection per thread of a pool. [close] finishes the searches under way. *)
