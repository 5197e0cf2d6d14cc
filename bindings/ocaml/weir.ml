(* SPDX-License-Identifier: ISC
   The public modules. *)

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

type unhandled = Error.unhandled = {
  pool : string;
  from : [ `Task | `Init | `At_exit ];
  label : string option;
  exn : exn;
  trace : Printexc.raw_backtrace;
}

(* A pool may come between two calls. *)
let rec metrics_in size =
  let buffer = Bytes.create size in
  let length = Raw.metrics buffer in
  if length < 0 then raise Out_of_memory
  else if length < size then Bytes.sub_string buffer 0 length
  else metrics_in (length + (length / 8) + 1)

let metrics () = metrics_in 16_384
let on_unhandled = Error.on_unhandled

exception Closed = Error.Closed
exception Full = Error.Full
exception Expired = Error.Expired
exception Canceled = Error.Canceled
