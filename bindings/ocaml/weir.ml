(* SPDX-License-Identifier: ISC
   The library's face. *)

module Pool = Pool
module Future = Future
module Main = Main
module Stats = Stats

type priority = Pool.priority = High | Normal | Low

exception Closed = Error.Closed
exception Full = Error.Full
exception Expired = Error.Expired
exception Canceled = Error.Canceled
