(* SPDX-License-Identifier: ISC
   Takes events from the ring that ml_trace.c fills. *)

type outcome = [ `Ok | `Failed | `Canceled | `Expired | `Closed | `Full ]
type event = Queued | Started | Settled of outcome | Entered | Left | Grew | Closed
type t = { at : int; pool : string; task : int; event : event }

let outcome code =
  if code = 0 then `Ok
  else if code = Raw.canceled then `Canceled
  else if code = Raw.expired then `Expired
  else if code = Raw.closed then `Closed
  else if code = Raw.full then `Full
  else `Failed

let of_raw (e : Raw.noted) =
  let event =
    match e.event with
    | Queued -> Queued
    | Started -> Started
    | Settled -> Settled (outcome e.value)
    | Thread -> if e.value = 0 then Left else Entered
    | Grew -> Grew
    | Closed -> Closed
  in
  { at = e.at; pool = e.pool; task = e.task; event }

let most = 1_048_576

let start n =
  Options.check_range ~who:"Weir.Trace.start" "n" ~from:1 ~upto:most n;
  if not (Raw.trace_start n) then raise Out_of_memory

let stop = Raw.trace_stop
let missed = Raw.trace_missed

let take () =
  let rec next taken left =
    match if left = 0 then None else Raw.trace_take () with
    | None -> List.rev taken
    | Some e -> next (of_raw e :: taken) (left - 1)
  in
  next [] (Raw.trace_kept ()) (* at most those kept now, because new ones may come faster *)

(* Slices *)

let slice label f =
  Raw.trace_begin label;
  Fun.protect ~finally:Raw.trace_end f

(* Steps *)

type step = { pool : string; thread : int; label : string; begins : bool }

let hook : (step -> unit) option Atomic.t = Atomic.make None
let on_step f = Atomic.set hook f

let tell f pool begins =
  try f { pool; thread = Raw.thread_index (); label = Raw.label (); begins } with _ -> ()

let note_step pool ~begins =
  match Atomic.get hook with
  | None -> ()
  | Some f -> tell f pool begins
