(* SPDX-License-Identifier: ISC
   Who waits for a task of the pool that it serves.

   A worker waits in Future.await, or in a call whose function, on a main, awaits a task of
   that pool or has run one, which has not settled. When every thread waits so and no other
   will come, the one that finds it is told, and the others may go on. *)

(* The threads that wait, and those that are there or on their way. *)
let count (link : Promise.pool_link) (s : Stats.t) =
  let in_vain = List.filter (fun waits -> waits ()) (Atomic.get link.calls) in
  (Atomic.get link.awaiting + List.length in_vain, s.threads + s.wanted)

(* The pool may get no other thread, or the core, refused before, has not asked when this
   wait began. *)
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

(* The pool whose task the calling thread runs as its worker. *)
let link_here () =
  let id = Raw.current () in
  if id < 0 then None
  else
    match Slots.get Promise.cells (Raw.index id) with
    | Promise.Task { link = Some link; _ } when Raw.serves link.handle -> Some link
    | _ -> None
