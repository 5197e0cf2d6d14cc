(* SPDX-License-Identifier: ISC *)

(** Named jobs over RabbitMQ: what a pool does, on other machines.

    {[
      (* jobs.ml, linked into both programs *)
      let resize = job "thumbs.resize" ~arg:Codec.(pair string int) ~result:Codec.string

      (* a worker *)
      let farm = create "amqp://farm"
      let () = serve farm pool [ handler Jobs.resize (fun db (file, width) -> …) ]

      (* a client *)
      let png = await (run farm Jobs.resize ("a.png", 200))
    ]}

    For programs on Lwt see {!Weir_remote_lwt}. Any thread or domain may call the functions
    here, unless one says otherwise.

    {b At least once.} A job may run more than once, because its worker or the server can be
    lost after it ran and before that was known. Its id stays the same, and a handler must be
    right when it runs twice with one id. The first answer wins. *)

module Codec = Codec

type t
(** A farm: where jobs go, a server or this process. Each has a thread of its own, which
    callbacks run on. Close each: an unreachable farm keeps its threads. In the child of a fork
    it is the parent's, and {!run} raises [Failure]. *)

exception Remote_error of { job : string; name : string; text : string; backtrace : string }
(** The handler failed. [name] is that of its exception, or ["Codec"]: the bytes that came were
    not what it takes. [backtrace] is empty if the worker's language or program tells none. *)

exception Lost of string
(** Nobody can know whether the job ran, or its workers died of it. The sentence names job and
    server. *)

exception Unknown_job of string
(** Nobody has declared the job's name, or nobody serves it here. *)

exception Timeout
(** The [timeout] of {!run} has passed. *)

(** {1 Farms} *)

type when_full = [ `Reject | `Block | `Drop_oldest ]
(** What {!run} does at the [queue_limit]: raises {!Weir.Full}; waits; or has the oldest job
    that is not with the server yet end as {!Weir.Future.Full}. *)

type event = { code : int; sentence : string }
(** What no call returns: a connection was lost ([code] is not 0) or made again, a queue is not
    there, a message was refused. *)

val create :
  ?credentials_file:string ->
  ?ca_file:string ->
  ?queue_limit:int ->
  ?when_full:when_full ->
  ?message_limit:int ->
  ?give_up:float ->
  ?heartbeat:float ->
  ?reconnect:float * float ->
  ?reply_life:float ->
  ?connect_within:float ->
  ?consumer_timeout:float ->
  ?on_event:(event -> unit) ->
  string ->
  t
(** [create url] opens a farm and does not wait for its server. The url is
    [amqp://user:password@host:port/vhost], [amqps://…], [local:] or [local:NAME], under which
    all farms of the process meet. Times are in seconds; [weir_remote.h] has the defaults.
    @param credentials_file its first line is [user:password]; it wins over the url
    @param queue_limit most jobs in flight (default: no limit)
    @param when_full default [`Reject]
    @param message_limit most bytes of an argument or result (default 16 MiB)
    @param give_up so long without a server, then jobs in flight end as {!Lost} (default 60)
    @param reconnect the first wait before a reconnect, and the longest (default 0.1 and 5)
    @param on_event called on the farm's thread; it must not block. By default events are
      dropped.
    @raise Invalid_argument on a url or an option that is out of its range, naming it
    @raise Failure when the system refuses a thread or a descriptor *)

type options = {
  url : string;  (** a password reads [***] *)
  credentials_file : string option;
  ca_file : string option;
  queue_limit : int option;
  when_full : when_full;
  message_limit : int;
  give_up : float;
  heartbeat : float;
  reconnect : float * float;
  reply_life : float;
  connect_within : float;
  consumer_timeout : float;
}

val options : t -> options
(** As they hold, with defaults filled in. *)

type stats = {
  connected : bool;
  in_flight : int;
  waiting : int;
  requests : int;
  submitted : int;
  settled : int;
  published : int;
  confirmed : int;
  republished : int;
  duplicates : int;
  refused : int;
  served : int;
  connects : int;
}
(** As [weir_remote_stats] in [weir_remote.h]. *)

val stats : t -> stats
(** One snapshot. @raise Weir.Closed after {!close} *)

val metrics : t list -> string
(** Their counts in Prometheus' text format, to be sent behind {!Weir.metrics}: see
    [weir_remote_metrics]. @raise Weir.Closed if one is closed *)

val trace : string option -> unit
(** [trace (Some file)]: from now on each job and each request of this process is written to the
    file, as [weir_remote_trace] does; [trace None] ends that.
    @raise Invalid_argument if a trace is on, or the file cannot be written *)

type mode = [ `Drain | `Cancel ]

val close : ?mode:mode -> ?within:float -> t -> bool
(** Refuses further jobs and requests at once. [`Drain] (default) waits for the answers of jobs
    in flight and for the handlers that have begun; [`Cancel] ends the former as closed and
    asks the latter to stop. A request that no handler has begun, or that was stopped, is given back
    to its server and runs at another worker. Returns [false] if [within] seconds passed first: the farm goes on
    closing, call it again. Close it before the pool that serves it.
    @raise Invalid_argument on the farm's own thread, that is in a callback *)

val declare : ?credentials_file:string -> ?ca_file:string -> string -> string list -> unit
(** [declare url names] makes the queues of these jobs at a server, at deployment: see
    [weir_remote_declare]. It blocks.
    @raise Lost if there is no connection or the server refuses
    @raise Invalid_argument on a bad name or url, and on [local:], which needs none *)

(** {1 Jobs} *)

type ('arg, 'result) job

val job : string -> arg:'arg Codec.t -> result:'result Codec.t -> ('arg, 'result) job
(** @raise Invalid_argument unless the name is 1 to 200 of [A-Za-z0-9._-] *)

val name : _ job -> string

type 'a call
(** A job that was run. *)

val run :
  ?priority:Weir.priority ->
  ?start_within:float ->
  ?timeout:float ->
  ?orphan:[ `Run | `Drop ] ->
  t ->
  ('arg, 'result) job ->
  'arg ->
  'result call
(** Sends the argument to a handler of the job. It blocks only with [`Block] on a full farm.
    @param start_within in seconds: unless a worker is known to have started it by then, it ends
      as expired
    @param timeout in seconds: unless it has ended by then, it ends with {!Timeout}
    @param orphan [`Drop]: it is not started once its client is known to be gone (default [`Run])
    @raise Codec.Error if the argument cannot be written, naming the job and the place; or if its bytes
      exceed [message_limit], naming the job, their number and the limit
    @raise Weir.Full at the queue limit
    @raise Weir.Closed after {!close}
    @raise Invalid_argument on a time out of range
    @raise Failure in the child of a fork *)

val future : 'a call -> 'a Weir.Future.t
(** Settles when the answer has come. Its callbacks run on the farm's thread and must not
    block; post to a main from there ({!Weir.Main.post}). Its exceptions are {!Remote_error},
    {!Lost}, {!Unknown_job}, {!Timeout}, and [Codec.Error] if the result is not what the codec
    takes. *)

val await : 'a call -> 'a
(** {!Weir.Future.await} of its future. *)

val cancel : _ call -> [ `Canceled | `Settled ]
(** Ends the call as canceled at once, and asks its worker to stop, which may come too late: the
    job may have run, or may still run. *)

val id : _ call -> string
(** The UUID that its handler sees. *)

(** {1 Serving} *)

type 'state handler
(** A job and what a thread of a pool does for it, with its ['state]. *)

type request = {
  id : string;  (** of the job; the same when it runs again *)
  attempt : int;  (** 1 at the first delivery *)
}

exception Retry
(** A handler raises it to give the job back: it runs again, on this worker or another, and
    counts as one more attempt. *)

val handler :
  ?run_within:float -> ('arg, 'result) job -> ('state -> 'arg -> 'result) -> 'state handler
(** What the function raises is the client's {!Remote_error}. A cancel of the client asks it to
    stop: [Weir.Pool.cancel_requested], [Weir.Pool.on_cancel].
    @param run_within in seconds, from when a thread of the pool begins. After it the job is given
      back to the server to run again, the function is asked to stop, and what it returns is dropped. Its thread is not replaced,
      because OCaml cannot end a thread. *)

val handler_with :
  ?run_within:float ->
  ('arg, 'result) job ->
  (request -> 'state -> 'arg -> 'result) ->
  'state handler

val serve : t -> 'state Weir.Pool.t -> 'state handler list -> unit
(** From now on jobs of these names run on the pool, once per farm. A server hands over at most
    the pool's [threads_max] + 1 of each queue ahead. Each request comes to the farm's thread,
    which hands it to the pool, so a loop that stands still delays none. A pool that is full or
    closed gives the job back.
    @raise Invalid_argument when a name stands twice, or the farm serves already *)

(**/**)

val on_settle : 'a call -> ('a Weir.Future.outcome -> unit) -> unit
