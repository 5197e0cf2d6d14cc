(* SPDX-License-Identifier: ISC *)

(** {!Weir_remote} as promises. Only the thread that runs the loop may call the functions here;
    on another they raise [Invalid_argument], as those of {!Weir_lwt} do.

    {[
      let* png = Weir_remote_lwt.run ~timeout:30. farm Jobs.resize ("a.png", 200)
    ]} *)

val run :
  ?priority:Weir.priority ->
  ?start_within:float ->
  ?timeout:float ->
  ?orphan:[ `Run | `Drop ] ->
  Weir_remote.t ->
  ('arg, 'result) Weir_remote.job ->
  'arg ->
  'result Lwt.t
(** {!Weir_remote.run}. What that raises for a full or closed farm, or an argument that cannot be
    written, rejects the promise. So do {!Weir_remote.Remote_error}, {!Weir_remote.Lost},
    {!Weir_remote.Unknown_job}, {!Weir_remote.Timeout}, [Weir.Expired], [Weir.Closed] and
    [Weir.Full]. [Lwt.cancel] cancels the job. Do not use a farm with [`Block] here: a full one
    would stop the loop. *)

val serve : Weir_remote.t -> 'state Weir_lwt.t -> 'state Weir_remote.handler list -> unit
(** {!Weir_remote.serve}. Requests reach the pool also while the loop stands still. *)

val close : ?mode:Weir_remote.mode -> ?within:float -> Weir_remote.t -> bool Lwt.t
(** {!Weir_remote.close}, on a thread of its own. A pool that serves the farm is closed after
    it. *)
