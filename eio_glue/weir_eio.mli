(* SPDX-License-Identifier: ISC *)

(** Preemptive thread pools for programs on Eio.

    A function here suspends the fiber that calls it, and no other. Tasks run on threads beside
    the domain of the loop; there they must not use Eio. *)

type 'state t = 'state Weir.Pool.t
(** A pool whose threads have a ['state] each. *)

val create :
  sw:Eio.Switch.t ->
  ?name:string ->
  ?threads_max:int ->
  ?idle:float ->
  ?max_blocked:int ->
  ?queue_limit:int ->
  ?measure:[ `Nothing | `Times ] ->
  ?tick_ms:int ->
  ?kind:[ `Threads | `Domains ] ->
  threads:int ->
  init:(unit -> 'state) ->
  at_exit:('state -> unit) ->
  unit ->
  'state t
(** Opens a pool and waits until each thread has run [init]. If one raises, so does [create].
    When [sw] ends the pool is closed: queued tasks are rejected, and the switch waits until each
    thread has run [at_exit]. For the options see {!Weir.Pool.create}. *)

val run : ?priority:Weir.priority -> ?start_within:float -> 'state t -> ('state -> 'a) -> 'a
(** [run pool f] has a thread call [f state], waits, and returns its value or raises its exception
    with the backtrace. When the fiber is cancelled, a queued task is taken back, and a running one
    is asked to stop ({!Weir.Pool.cancel_requested}, {!Weir.Pool.on_cancel}); [run] raises
    [Eio.Cancel.Cancelled] at once, and what the task returns is discarded.
    @raise Weir.Closed after the pool's close
    @raise Weir.Full at the queue limit
    @raise Weir.Expired when no thread has started the task within [start_within] seconds *)

val run_promise :
  sw:Eio.Switch.t ->
  ?priority:Weir.priority ->
  ?start_within:float ->
  'state t ->
  ('state -> 'a) ->
  'a Eio.Promise.or_exn
(** {!run} in a new fiber of [sw]. *)

val close : ?mode:Weir.Pool.mode -> _ t -> unit
(** Closes the pool before its switch ends. See {!Weir.Pool.close}. *)
