(* SPDX-License-Identifier: ISC *)

(** Searches that run in worker programs, on this or other machines: see weir-remote. *)

val finder : string -> Finder.t Lwt.t
(** Has workers of this farm search: [finder "amqp://…"].
    @raise Failure if the program was built without weir-remote *)

val serve : string -> Store.t -> threads:int -> stop:unit Lwt.t -> unit Lwt.t
(** Is such a worker until [stop] resolves, then finishes the searches under way. *)
