(* SPDX-License-Identifier: ISC *)

(** The HTTP side. Routes, all GET and plain text:
    [/ping], [/search?q=text], [/heartbeat] (the worst gap since the last request for it). *)

val listen : port:int -> Lwt_unix.file_descr * int
(** A socket on the loopback address and its port; 0 takes a free one. *)

val serve : Lwt_unix.file_descr -> Finder.t -> stop:unit Lwt.t -> unit Lwt.t
(** Answers requests until [stop] resolves, then closes the socket. *)
