(* SPDX-License-Identifier: ISC *)

(** Packages, as Debian's control files list them. *)

type t = {
  name : string;
  version : string;
  summary : string;  (** the first line of its description *)
  details : string;  (** section, home page, tags, what it needs and provides: one line each *)
}

val iter : (t -> unit) -> in_channel -> unit
(** [iter f channel] calls [f] with each package of the control file read from
    [channel], in its order. *)
