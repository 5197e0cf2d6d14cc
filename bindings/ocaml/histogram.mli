(* SPDX-License-Identifier: ISC *)

(** A histogram of times. *)

type t

type bucket = { from_ns : int; below_ns : int; count : int }
(** [count] times of at least [from_ns] and less than [below_ns] nanoseconds. From 8 ns on
    [below_ns] is at most a quarter more than [from_ns]. *)

val buckets : t -> bucket list
(** The buckets that are not empty, shortest times first. *)

val count : t -> int
(** How many times were measured. *)

val percentile : t -> float -> float option
(** [percentile t p] is a time in seconds: [p] percent of the measured times are shorter. It
    is exact to the width of a bucket. [None] when nothing was measured.
    @raise Invalid_argument unless [0. <= p <= 100.] *)

val pp : Format.formatter -> t -> unit
(** Prints a line for each bucket. *)

(**/**)

val of_counts : int array -> t
val of_times : int array -> t
