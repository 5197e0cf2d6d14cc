(* SPDX-License-Identifier: ISC *)

(** How often something took how long. *)

type t

type bucket = { from_ns : int; below_ns : int; count : int }
(** [count] times of at least [from_ns] and less than [below_ns] nanoseconds. Each bucket
    is twice as wide as the one before. *)

val buckets : t -> bucket list
(** Those that are not empty, the shortest times first. *)

val count : t -> int
(** How many times were measured. *)

val percentile : t -> float -> float option
(** [percentile t p]: so many seconds, or less, took [p] percent of the times; exact to
    the width of a bucket. [None] when nothing was measured.
    @raise Invalid_argument unless [0. <= p <= 100.] *)

val pp : Format.formatter -> t -> unit
(** A line for each bucket. *)

(**/**)

val of_counts : int array -> t
