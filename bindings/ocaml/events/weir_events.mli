(* SPDX-License-Identifier: ISC *)

(** The tasks of weir's pools as runtime events of OCaml, from OCaml 5.1 on.

    OCaml writes what its runtime does into a ring of each domain, which another process may
    read while the program runs. With {!start} each task adds an event as it begins and one as
    it ends, beside those of the garbage collector. [weir-events DIR PID] shows them. *)

val start : unit -> unit
(** Starts the runtime's events, if they are not on, and adds the tasks from now on. It takes
    the place of a {!Weir.Trace.on_step}. *)

val stop : unit -> unit
(** Adds no more. The runtime's own events go on. *)

(** {1 Reading} *)

val add :
  (Runtime_events.Timestamp.t -> Weir.Trace.step -> unit) ->
  Runtime_events.Callbacks.t ->
  Runtime_events.Callbacks.t
(** Adds a function that gets each event to a reader's callbacks. *)

type ended = { step : Weir.Trace.step; ns : int64  (** how long it ran *) }

val pairs : (ended -> unit) -> Runtime_events.Timestamp.t -> Weir.Trace.step -> unit
(** [pairs f] is a function for {!add} that calls [f] for each task that has ended, if its
    begin was read too. *)

val pp : Format.formatter -> ended -> unit
(** Prints ["db/1 import 3.214 ms"]. *)

val follow : ?lost:(int -> unit) -> dir:string -> int -> (ended -> unit) -> unit
(** [follow ~dir pid f] calls [f] for each task of that process that ends, until the process
    does. [dir] is where it was started, or its [OCAML_RUNTIME_EVENTS_DIR]. [lost n] tells that
    [n] events were overwritten before they were read.
    @raise Failure when the process has no runtime events there *)
