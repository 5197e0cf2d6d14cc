(* SPDX-License-Identifier: ISC *)

(** The interface of [Lwt_preemptive], on a pool of weir. Add the library
    [weir-lwt.preemptive] and the flags [-open Weir_preemptive] to a dune file, and
    [Lwt_preemptive] in the sources is the one below: the sources stay as they are.

    It does what the code of [Lwt_preemptive] does, also where its documentation says something
    else. *)

module type S = sig
  val detach : ('a -> 'b) -> 'a -> 'b Lwt.t
  (** [detach f x] runs [f x] on a thread of the pool. While [get_bounds ()] allows no further
      thread it is queued, without a limit, and calls start in the order of their detach.
      [Lwt.cancel] takes a queued call back. A running one goes on, and its promise stays
      pending; [f] may ask {!Weir.Pool.cancel_requested}. [detach] calls {!simple_init}.

      [f] runs beside the loop and must not use Lwt. It may call {!run_in_main}.
      @raise Invalid_argument on another thread than the loop's *)

  val run_in_main : (unit -> 'a Lwt.t) -> 'a
  (** On a thread that does not run the loop: runs [f ()] on the loop's thread, waits for its
      promise, and returns its value or raises its exception. If no loop runs, it waits for one.
      @raise Invalid_argument on the loop's thread, which would wait for itself *)

  val run_in_main_dont_wait : (unit -> unit Lwt.t) -> (exn -> unit) -> unit
  (** [run_in_main_dont_wait f handler], on any thread, has [f ()] run on the loop's thread and
      returns at once. [handler] gets what [f] raises or its promise is rejected with, on the
      loop's thread, and must not raise. *)

  val init : int -> int -> (string -> unit) -> unit
  (** [init min max log] is [set_bounds (min, max)], and {!simple_init} does nothing from then
      on. [log] is not used. *)

  val simple_init : unit -> unit
  (** The first call, unless {!init} came before, is [set_bounds (0, 4)], whatever the bounds
      were. *)

  val get_bounds : unit -> int * int
  (** The least and the greatest number of threads: [(0, 0)] in the beginning. *)

  val set_bounds : int * int -> unit
  (** [set_bounds (min, max)]: from now on at least [min] threads, which are started, and at most
      [max]. Surplus threads end when their call has ended. With [max = 0] no call starts. The
      pool has at most 1024 threads, whatever [max] is.
      @raise Invalid_argument unless [0 <= min <= max] *)

  val set_max_number_of_threads_queued : int -> unit
  (** Sets what {!get_max_number_of_threads_queued} returns. It limits nothing.
      @raise Invalid_argument unless the number is at least 0 *)

  val get_max_number_of_threads_queued : unit -> int
  (** 1000 in the beginning. *)

  val nbthreads : unit -> int
  (** Threads that there are or that are on their way. *)

  val nbthreadsbusy : unit -> int
  (** Those that run a call, or are on their way to one. *)

  val nbthreadsqueued : unit -> int
  (** Calls for which there is no thread yet. *)
end

include S
(** @inline *)

module Lwt_preemptive : S
(** The same, for [-open Weir_preemptive]. *)

val pool : unit -> unit Weir.Pool.t
(** The pool, called ["preemptive"], for statistics and the other functions of {!Weir.Pool}. It
    is opened when it is first needed; the child of a fork opens one of its own. Do not close
    it. *)
