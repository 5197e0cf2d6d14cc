(* SPDX-License-Identifier: ISC *)

(** MessagePack, value by value. *)

exception Error of string

val write_nil : Buffer.t -> unit
val write_bool : Buffer.t -> bool -> unit
val write_int : Buffer.t -> int -> unit
val write_int64 : Buffer.t -> int64 -> unit
val write_float : Buffer.t -> float -> unit
val write_string : Buffer.t -> string -> unit
val write_array : Buffer.t -> int -> unit
val write_map : Buffer.t -> int -> unit

type reader
(** Where the next value begins. Each read raises {!Error} unless that value is of its kind and
    whole. *)

val reader : string -> reader
val is_nil : reader -> bool
val read_nil : reader -> unit
val read_bool : reader -> bool
val read_int : reader -> int
val read_int64 : reader -> int64
val read_float : reader -> float
val read_string : reader -> string

val read_array : reader -> int
(** How many elements follow. *)

val read_map : reader -> int
val at_end : reader -> unit
