(* SPDX-License-Identifier: ISC *)

(** The HTTP side. By GET: [/], a page that searches while one types; [/search?q=text], as text, or
    as JSON with [as=json]; [/ping]; [/heartbeat], see {!Heartbeat.report}. By POST: [/stop]. *)

type finders = {
  usual : Finder.t;
  on_loop : Finder.t option;  (** for a search with [on=loop]; without it [usual] is asked *)
}

val listen : port:int -> Lwt_unix.file_descr * int
(** A socket on the loopback address and its port; 0 takes a free one. *)

val serve :
  Lwt_unix.file_descr -> finders -> stop:unit Lwt.t -> ask_stop:(unit -> unit) -> unit Lwt.t
(** Answers requests until [stop] resolves, then closes the socket. [/stop] calls [ask_stop]. *)
