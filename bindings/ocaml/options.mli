(* SPDX-License-Identifier: ISC *)

(** The options of a pool. {!Weir.Pool.create} says what each means. *)

type priority = High | Normal | Low

type t = {
  name : string;
  threads : int;
  threads_max : int;
  idle : float;
  max_blocked : int;
  queue_limit : int option;
  when_full : [ `Reject | `Block | `Run_here | `Drop_oldest ];
  max_running : priority -> int option;
  measure : [ `Nothing | `Times ];
  tick_ms : int option;
  kind : [ `Threads | `Domains ];
}

(**/**)

val check_range : who:string -> string -> from:int -> upto:int -> int -> unit
(** @raise Invalid_argument naming the function, the argument and its value *)

val check_time : who:string -> string -> (float -> bool) -> float -> unit
val check_bounds : string -> int -> int -> unit
val level : priority -> Raw.level

val policies : [ `Reject | `Block | `Run_here | `Drop_oldest ] array
(** In the order of weir.h. *)

val to_raw : string -> t -> Raw.options
(** @raise Invalid_argument on a value out of range *)

val of_raw : t -> Raw.options -> t
(** The core's options; what the core does not know comes from the first argument. *)
