(* SPDX-License-Identifier: ISC
   A pool's options: checked, and converted to the core's and back. *)

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

(* Checks *)

let most_threads = 1024
let most_queued = (1 lsl 32) - 1 (* the core counts in 32 bits *)

let check_range ~who what ~from ~upto n =
  if n < from || n > upto then
    invalid_arg (Printf.sprintf "%s: %s is %d, not in %d..%d" who what n from upto)

let check_time ~who what is_right seconds =
  if not (is_right seconds) then
    invalid_arg (Printf.sprintf "%s: %s is %g, which is not a time" who what seconds)

let check_bounds who threads threads_max =
  check_range ~who "threads" ~from:0 ~upto:most_threads threads;
  check_range ~who "threads_max" ~from:(max 1 threads) ~upto:most_threads threads_max

let check_threads who o =
  check_bounds who o.threads o.threads_max;
  check_range ~who "max_blocked" ~from:0 ~upto:most_threads o.max_blocked;
  check_time ~who "idle" (fun s -> s > 0.) o.idle;
  if o.kind = `Domains && not Lanes.domains then
    invalid_arg (who ^ ": kind is `Domains, which needs OCaml 5")

let check_limits who o =
  let range what = check_range ~who what ~from:1 ~upto:most_queued in
  Option.iter (range "queue_limit") o.queue_limit;
  Option.iter (check_range ~who "tick_ms" ~from:1 ~upto:1_000_000) o.tick_ms;
  List.iter (fun p -> Option.iter (range "max_running") (o.max_running p)) [ High; Normal; Low ]

(* To the core's options and back *)

let level = function Normal -> Raw.Normal | High -> Raw.High | Low -> Raw.Low
let policies = [| `Reject; `Block; `Run_here; `Drop_oldest |]

let rec policy_number ?(n = 0) policy =
  if policies.(n) = policy then n else policy_number ~n:(n + 1) policy

let idle_ns s = if s < 4e9 then max 1 (int_of_float (s *. 1e9)) else max_int
let or_none n = if n = 0 then None else Some n
let or_zero = Option.value ~default:0

let to_raw who o =
  check_threads who o;
  check_limits who o;
  {
    Raw.name = o.name;
    threads = o.threads;
    threads_max = o.threads_max;
    idle_ns = idle_ns o.idle;
    max_blocked = o.max_blocked;
    queue_limit = or_zero o.queue_limit;
    when_full = policy_number o.when_full;
    max_normal = or_zero (o.max_running Normal);
    max_high = or_zero (o.max_running High);
    max_low = or_zero (o.max_running Low);
    measure = o.measure = `Times;
  }

let cap (r : Raw.options) = function
  | Normal -> or_none r.max_normal
  | High -> or_none r.max_high
  | Low -> or_none r.max_low

let of_raw o (r : Raw.options) =
  {
    o with
    name = r.name;
    threads = r.threads;
    threads_max = r.threads_max;
    idle = float r.idle_ns /. 1e9;
    max_blocked = r.max_blocked;
    queue_limit = or_none r.queue_limit;
    when_full = policies.(r.when_full);
    max_running = cap r;
    measure = (if r.measure then `Times else `Nothing);
  }
