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
module Control = Control

type priority = Options.priority = High | Normal | Low

exception Closed
(** The pool or main is closed, or closed before the task started. *)

exception Full
(** The queue is at its limit, or the task gave its place to a newer one. *)

exception Expired
(** The task did not start by its deadline. *)

exception Canceled
(** The task was taken back, or stopped on request. *)
