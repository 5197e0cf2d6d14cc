(* SPDX-License-Identifier: ISC
   The public modules. *)

module Pool = Pool
module Future = Future
module Main = Main
module Options = Options
module Stats = Stats
module Histogram = Histogram
module Trace = Trace
module Control = Control

type priority = Options.priority = High | Normal | Low

type unhandled = Error.unhandled = {
  pool : string;
  from : [ `Task | `Init | `At_exit ];
  exn : exn;
  trace : Printexc.raw_backtrace;
}

let on_unhandled = Error.on_unhandled

exception Closed = Error.Closed
exception Full = Error.Full
exception Expired = Error.Expired
exception Canceled = Error.Canceled
