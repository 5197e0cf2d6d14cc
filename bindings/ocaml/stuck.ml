(* SPDX-License-Identifier: ISC
   Threads that wait for a task of the pool that they serve.

   Such a thread waits in Future.await. Or it waits in a call into a main whose function
   awaits a task of that pool, or has run a task there that has not settled. When every
   thread waits so and no other will come, nobody can run what they wait for. The thread
   that finds this gets an exception, so the others may go on. *)

(* How many threads wait so, and how many there are or are on their way. *)
let count (link : Promise.pool_link) (s : Stats.t) =
  let in_vain = List.filter (fun waits -> waits ()) (Atomic.get link.calls) in
  (Atomic.get link.awaiting + List.length in_vain, s.threads + s.wanted)

(* Every thread waits, and no other will come: the pool is at its limit, or a thread was
   refused before, after which the core does not ask again at once. *)
let is_stuck (link : Promise.pool_link) =
  let s = Raw.stats link.handle and o = Raw.pool_options link.handle in
  let waiting, there = count link s in
  let most = o.threads_max + min o.max_blocked s.blocked in
  waiting >= there && (there >= most || s.lends_refused > 0)

let error who (link : Promise.pool_link) =
  let waiting, there = count link (Raw.stats link.handle) in
  let name = (Raw.pool_options link.handle).name in
  Invalid_argument
    (Printf.sprintf "%s: would deadlock: pool '%s', %d of %d threads wait for its tasks" who name
       waiting there)

let enter (link : Promise.pool_link) waits = Promise.change link.calls (List.cons waits)

let leave (link : Promise.pool_link) waits =
  Promise.change link.calls (List.filter (fun other -> other != waits))

(* The pool that the calling thread serves, if it runs a task of it. *)
let link_here () =
  let id = Raw.current () in
  if id < 0 then None
  else
    match Slots.get Promise.cells (Raw.index id) with
    | Promise.Task { link = Some link; _ } when Raw.serves link.handle -> Some link
    | _ -> None
