(* SPDX-License-Identifier: ISC
   Waiting for tasks and taking them back. *)

type 'a outcome = 'a Promise.outcome =
  | Value of 'a
  | Raised of exn * Printexc.raw_backtrace
  | Canceled
  | Closed
  | Expired
  | Full

type 'a t = 'a Promise.t

let of_promise t = t
let poll = Promise.poll
let on_settle = Promise.on_settle

let ends_in_time (t : _ t) = t.ends_in_time <- true

let value = function
  | Value x -> x
  | Raised (exn, trace) -> Printexc.raise_with_backtrace exn trace
  | Canceled -> raise Error.Canceled
  | Closed -> raise Error.Closed
  | Expired -> raise Error.Expired
  | Full -> raise Error.Full

let cancel (t : _ t) =
  let code = Promise.cancel t.id ~running:true in
  if code = 0 then `Taken_back
  else if code = Raw.busy then begin
    Stops.requested t.id;
    `Running
  end
  else `Settled

(* Each way to wait makes a function [wake] and passes it to [before], which may raise. It
   returns when [wake] was called, or at once if the task has settled. *)

let wait_as_thread before t =
  let mutex = Mutex.create () and changed = Condition.create () in
  let woken = ref false in
  let wake () =
    Mutex.lock mutex;
    woken := true;
    Condition.signal changed;
    Mutex.unlock mutex
  in
  before wake;
  if Promise.on_wake t wake then begin
    Mutex.lock mutex;
    while not !woken do
      Condition.wait changed mutex
    done;
    Mutex.unlock mutex
  end

(* A late [wake] must not write to a descriptor that has reused the pipe's number. *)
type alarm = {
  source : Unix.file_descr;
  sink : Unix.file_descr;
  lock : Mutex.t;
  mutable state : [ `Armed | `Woken | `Gone ];
}

let ring alarm =
  Mutex.lock alarm.lock;
  if alarm.state = `Armed then begin
    alarm.state <- `Woken;
    ignore (Unix.write_substring alarm.sink "x" 0 1)
  end;
  Mutex.unlock alarm.lock

let disarm alarm () =
  Mutex.lock alarm.lock;
  alarm.state <- `Gone;
  Mutex.unlock alarm.lock;
  Unix.close alarm.source;
  Unix.close alarm.sink

(* Dispatches this thread's mains meanwhile, because the task may call into one of them. *)
let wait_as_mains before mains t =
  let source, sink = Unix.pipe ~cloexec:true () in
  let alarm = { source; sink; state = `Armed; lock = Mutex.create () } in
  let wake () = ring alarm in
  let fds = Array.of_list (source :: List.map Main.fd mains) in
  Fun.protect ~finally:(disarm alarm) (fun () ->
      before wake;
      if Promise.on_wake t wake then
        while alarm.state = `Armed do
          List.iter Main.rouse mains;
          Raw.poll fds;
          List.iter (fun main -> ignore (Main.dispatch main)) mains
        done)

let wait ?(before = ignore) t =
  match Main.of_thread () with
  | [] -> wait_as_thread before t
  | mains -> wait_as_mains before mains t

(* A thread that waits for a task of its own pool runs no task, so the pool may start a
   spare. When the last thread waits too, nobody is left to run what they all wait for. *)
let wait_as_worker (link : Promise.pool_link) t =
  let mine = ref ignore in
  let before wake =
    mine := wake;
    Promise.change link.awoken (List.cons wake);
    if Stuck.is_stuck link then raise (Stuck.error "Weir.Future.await" link)
  in
  let after () =
    Atomic.decr link.awaiting;
    Promise.change link.awoken (List.filter (fun wake -> wake != !mine))
  in
  Atomic.incr link.awaiting;
  Fun.protect ~finally:after (fun () -> Promise.blocking (fun () -> wait ~before t))

(* For a wait inside the functions of [n] calls that tasks of the same pool wait for. *)
let wait_in_calls (link : Promise.pool_link) n t =
  let waits () = Promise.keeps_waiting t in
  let before _ = if Stuck.is_stuck link then raise (Stuck.error "Weir.Future.await" link) in
  for _ = 1 to n do
    Stuck.enter link waits
  done;
  Fun.protect ~finally:(fun () -> Stuck.leave link waits) (fun () -> wait ~before t)

let block (t : _ t) =
  if t.id >= 0 && Raw.current () = t.id then
    invalid_arg "Weir.Future.await: the caller is this task";
  match t.link with
  | Some link when Raw.serves link.handle -> wait_as_worker link t
  | Some link when Main.calls_from link > 0 -> wait_in_calls link (Main.calls_from link) t
  | _ -> wait t

let rec outcome t =
  match Promise.poll t with
  | Some outcome -> outcome
  | None ->
      block t;
      outcome t

let await t = value (outcome t)

(* Futures made of others. What calls back settles and tells them. *)

let derived link (of_ : _ t) =
  Promise.make ~link ~id:(-1) ~main:of_.main ~uncaught:of_.uncaught Promise.no_work

let set r outcome =
  Promise.wake (Promise.settle r outcome);
  Promise.tell r

let outside () =
  let t =
    Promise.make ~link:None ~id:(-1) ~main:Raw.no_main ~uncaught:Error.report Promise.no_work
  in
  (t, set t)

let failure : 'a outcome -> 'b outcome = function
  | Value _ -> assert false
  | (Raised _ | Canceled | Closed | Expired | Full) as same -> same

let applied f = function
  | Value x -> ( try Value (f x) with exn -> Raised (exn, Printexc.get_raw_backtrace ()))
  | other -> failure other

let map f (t : _ t) =
  let r = derived t.link t in
  on_settle t (fun outcome -> set r (applied f outcome));
  r

(* Who awaits them waits for a pool only if it is the pool of all. *)
let common = function
  | [] -> None
  | (t : _ t) :: rest ->
      let same (other : _ t) = Option.equal ( == ) other.link t.link in
      if List.for_all same rest then t.link else None

let no_futures who = invalid_arg (who ^ ": the list is empty")

let any = function
  | [] -> no_futures "Weir.Future.any"
  | first :: _ as futures ->
      let r = derived (common futures) first in
      List.iter (fun t -> on_settle t (set r)) futures;
      r

let values futures =
  List.map (fun t -> match poll t with Some (Value x) -> x | _ -> assert false) futures

(* The last value settles it, or the first failure. *)
let all = function
  | [] -> no_futures "Weir.Future.all"
  | first :: _ as futures ->
      let r = derived (common futures) first and left = Atomic.make (List.length futures) in
      let settled = function
        | Value _ ->
            if Atomic.fetch_and_add left (-1) = 1 then set r (Value (values futures))
        | other -> set r (failure other)
      in
      List.iter (fun t -> on_settle t settled) futures;
      r

type ('a, 'b) either = Left of 'a | Right of 'b

let pair = function [ Left x; Right y ] -> (x, y) | _ -> assert false
let both a b = map pair (all [ map (fun x -> Left x) a; map (fun y -> Right y) b ])
