(* SPDX-License-Identifier: ISC *)

(** Preemptive thread pools beside an event loop.

    {[
      let pool =
        Weir.Pool.create ~name:"db" ~threads:4 ~init:connect ~at_exit:disconnect ()
      in
      let answer = Weir.Pool.run pool (fun connection -> query connection "…") in
      print_endline (Weir.Future.await answer);
      Weir.Pool.close pool
    ]}

    For programs on Lwt see the library [weir-lwt]. *)

module Pool = Pool
module Future = Future
module Main = Main
module Options = Options
module Stats = Stats
module Histogram = Histogram
module Trace = Trace
module Watch = Watch
module Control = Control

type priority = Options.priority = High | Normal | Low

exception Closed
(** The pool or main is closed, or was closed before the task started. *)

exception Full
(** The queue is at its limit, or a newer task has taken the place of this one. *)

exception Expired
(** The task had not started by its deadline. *)

exception Canceled
(** The task was taken back from the queue, or stopped on request. *)

(** {1 For Prometheus} *)

val metrics : unit -> string
(** What all pools and loops of the process do, in Prometheus' text format: answer a GET of
    [/metrics] with it, as [text/plain; version=0.0.4]. The text has every pool's {!Stats}, and the
    histograms of pools made with [~measure:`Times]. Any thread; never blocks. *)

(** {1 Exceptions that nobody can catch} *)

type unhandled = {
  pool : string;  (** its name *)
  from : [ `Task | `Init | `At_exit ];
      (** where it was raised: in a task whose promise had ended before, by [~timeout] or
          [Lwt.cancel]; in the [init] of a thread that came after the first ones; or in an
          [at_exit] *)
  label : string option;  (** of the task, where that task was given one *)
  exn : exn;
  trace : Printexc.raw_backtrace;
}

val on_unhandled : (unhandled -> unit) ref
(** Gets each such exception once. An exception from [`Init] or [`At_exit] comes on the thread
    where it was raised, also when nobody holds the pool any more, and at the end of the
    program ([Weir_lwt.create ~close_at_exit]). One from [`Task] comes on the loop's thread.
    The default prints the pool's name, the task's label, the exception and its backtrace on
    stderr. What the hook raises is printed. The hook should not block for long, because a
    thread of the pool waits for it. *)
