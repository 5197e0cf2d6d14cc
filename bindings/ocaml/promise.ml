(* SPDX-License-Identifier: ISC
   The result of a task, and how it reaches OCaml.

     Waiting --settle--> Settled --tell--> Told

   The first settle wins: by the thread that ran the task, by the thread that cancelled
   it, or by the delivery of a task that never ran. It wakes the threads that await the
   promise. [tell] runs the callbacks: in the dispatch of the task's main, else on the
   thread that settled the task. The slot's cell keeps the promise until then; the promise
   keeps the task's function only until it has settled. *)

type 'a outcome =
  | Value of 'a
  | Raised of exn * Printexc.raw_backtrace
  | Canceled
  | Closed
  | Expired
  | Full

type 'a stage =
  | Waiting of { wakes : (unit -> unit) list; callbacks : ('a outcome -> unit) list }
  | Settled of 'a outcome * ('a outcome -> unit) list
  | Told of 'a outcome

type state = ..
(* A thread's state. Each pool adds a constructor, which only its own functions know. *)

type pool_link = {
  handle : Raw.pool;
  awaiting : int Atomic.t; (* threads of the pool that await one of its tasks *)
  awoken : (unit -> unit) list Atomic.t; (* wakes them to look: are they stuck? *)
  calls : (unit -> bool) list Atomic.t; (* per call of its threads: does it wait so? *)
  timed_out : int Atomic.t; (* promises that ended before their tasks *)
  failure : (exn * Printexc.raw_backtrace) option Atomic.t;
      (* of the first failed init while the pool opens, of the last one after that *)
  here : unit -> state; (* for a task that the caller of run runs *)
  mutable lend : int -> unit; (* adds threads; keeps the pool while a future is unsettled *)
}
(* What a promise knows about its pool. *)

let pool_link handle here =
  {
    handle;
    awaiting = Atomic.make 0;
    awoken = Atomic.make [];
    calls = Atomic.make [];
    timed_out = Atomic.make 0;
    failure = Atomic.make None;
    here;
    lend = ignore;
  }

let rec change list f =
  let was = Atomic.get list in
  if not (Atomic.compare_and_set list was (f was)) then change list f

type 'a t = {
  stage : 'a stage Atomic.t;
  id : int;
  mutable work : state -> 'a; (* [no_work] once settled *)
  link : pool_link option;
  main : Raw.main; (* where it is told *)
  mutable ends_in_time : bool; (* has a deadline, so nobody waits for it for ever *)
  uncaught : Error.handler;
}

let no_work _ = assert false
let fresh = Waiting { wakes = []; callbacks = [] }

let make ~link ~id ~main ~uncaught work =
  let stage = Atomic.make fresh in
  { stage; id; work; link; main; ends_in_time = false; uncaught }

(* Returns those to wake, which the caller does when the core knows the outcome as well. *)
let rec settle t outcome =
  match Atomic.get t.stage with
  | Settled _ | Told _ -> []
  | Waiting { wakes; callbacks } as was ->
      if Atomic.compare_and_set t.stage was (Settled (outcome, callbacks)) then begin
        t.work <- no_work;
        wakes
      end
      else settle t outcome

let wake wakes = List.iter (fun wake -> wake ()) wakes

(* A thread has left or was refused, so those who await may be stuck now. *)
let look_again link = wake (Atomic.get link.awoken)

(* [f] handles what the user's function raises. *)
let rec add_callback t f =
  let add was next = if not (Atomic.compare_and_set t.stage was next) then add_callback t f in
  match Atomic.get t.stage with
  | Waiting { wakes; callbacks } as was -> add was (Waiting { wakes; callbacks = f :: callbacks })
  | Settled (outcome, callbacks) as was -> add was (Settled (outcome, f :: callbacks))
  | Told outcome -> f outcome

let on_settle t f = add_callback t (Error.protect t.uncaught f)

(* Returns false, with nothing kept, when it has settled. *)
let rec on_wake t wake =
  match Atomic.get t.stage with
  | Settled _ | Told _ -> false
  | Waiting { wakes; callbacks } as was ->
      Atomic.compare_and_set t.stage was (Waiting { wakes = wake :: wakes; callbacks })
      || on_wake t wake

(* A lazy pool without a thread got none. *)
let refused t code =
  let init = Option.bind t.link (fun link -> Atomic.get link.failure) in
  match init with
  | Some (exn, trace) when code = Raw.init_failed -> Raised (exn, trace)
  | _ -> Raised (Error.of_code "Weir.Pool.run" code, Printexc.get_callstack 0)

let of_code t code =
  if code = Raw.canceled then Canceled
  else if code = Raw.expired then Expired
  else if code = Raw.full then Full
  else if code >= 0 || code = Raw.closed then Closed
  else refused t code

(* The core knows first of a task that never ran. *)
let rec poll t =
  match Atomic.get t.stage with
  | Settled (outcome, _) | Told outcome -> Some outcome
  | Waiting _ ->
      let code = Raw.slot_never_ran t.id in
      if code = 0 then None
      else begin
        wake (settle t (of_code t code));
        poll t
      end

let keeps_waiting t = (not t.ends_in_time) && poll t = None

(* Deliveries *)

type cell =
  | Nothing
  | Task : 'a t -> cell
  | Notice of (int -> unit) (* gets the outcome's code *)
  | Call of (Raw.call -> unit)
  | Lend of (int -> unit)
(* gets how many threads are asked for; stays until its pool goes *)

let cells = Slots.make Nothing

let made id = if id < 0 then raise Out_of_memory else id

let fill id cell =
  try Slots.set cells (Raw.index id) cell
  with exn ->
    Raw.slot_drop (Raw.index id);
    raise exn

let slot_for cell =
  let id = made (Raw.slot_make ()) in
  fill id cell;
  id

let drop index =
  Slots.clear cells index;
  Raw.slot_drop index

(* For an exception that must not leave now: a notice that raises it when it is delivered. *)
let raising exn trace =
  slot_for (Notice (fun _ -> Printexc.raise_with_backtrace exn trace))

let raise_in main exn trace =
  let id = raising exn trace in
  if Raw.main_post main id <> 0 then begin
    drop (Raw.index id);
    Error.report exn trace
  end

(* Calls each callback. The first exception leaves now, the others in later deliveries. *)
let rec tell_all main outcome = function
  | [] -> ()
  | f :: rest -> (
      match f outcome with
      | () -> tell_all main outcome rest
      | exception exn ->
          let trace = Printexc.get_raw_backtrace () in
          List.iter (fun f -> Error.protect (raise_in main) f outcome) rest;
          Printexc.raise_with_backtrace exn trace)

let rec tell t =
  match Atomic.get t.stage with
  | Waiting _ | Told _ -> ()
  | Settled (outcome, callbacks) as was ->
      if Atomic.compare_and_set t.stage was (Told outcome) then
        tell_all t.main outcome (List.rev callbacks)
      else tell t

(* The stub that takes the next delivery drops the slot of this task or notice. The slot of a
   call belongs to its caller, that of a lend to the pool. *)
let deliver index code =
  match Slots.get cells index with
  | Task t ->
      Slots.clear cells index;
      wake (settle t (of_code t code));
      tell t
  | Notice f ->
      Slots.clear cells index;
      f code
  | Call f -> f (Raw.call_of code)
  | Lend f -> f code
  | Nothing -> ()

(* Delivers all that the core told this thread by callbacks. What a delivery raises leaves
   when the others are done. *)
let rec take_all (d : Raw.delivery) =
  if Raw.take d then
    match deliver d.index d.code with
    | () -> take_all d
    | exception exn ->
        let trace = Printexc.get_raw_backtrace () in
        Error.protect Error.report take_all d;
        Printexc.raise_with_backtrace exn trace

(* Belongs after each stub whose core function may have told something. Inside a delivery it
   does nothing, because the outer take_all goes on with the list. *)
let drain () =
  if Raw.untaken () then take_all { index = Raw.no_index; code = 0; pends = 0; round = Bytes.empty }

(* The same on a pool's thread, where nobody could catch an exception. *)
let drain_all () = if Raw.untaken () then Error.protect Error.report drain ()

(* Holds a reference to the slot. Without a main nobody else tells the promise, see
   wml_task_done. *)
let taken_back index =
  match Slots.get cells index with
  | Task t ->
      wake (settle t Canceled);
      if t.main = Raw.no_main then begin
        drop index;
        tell t
      end
      else Raw.slot_drop index
  | _ -> Raw.slot_drop index (* its main has told it already *)

let cancel id ~running =
  let code = if id < 0 then Raw.invalid else Raw.cancel id ~running in
  if code = 0 then taken_back (Raw.index id);
  drain ();
  code

let blocking f =
  Raw.blocking_begin ();
  drain ();
  Fun.protect ~finally:Raw.blocking_end f

(* The ids of a pool's tasks in this state. *)
let tasks link state =
  let ids = Array.make (Raw.tasks link.handle state [||]) 0 in
  Array.sub ids 0 (min (Raw.tasks link.handle state ids) (Array.length ids))

(* After a close: settles the promises of closed tasks now, because a task without a main is
   told only when a thread of the pool is free. *)
let find_closed link =
  let look id =
    match Slots.get cells (Raw.index id) with Task t -> ignore (poll t) | _ -> ()
  in
  drain ();
  Array.iter look (tasks link Raw.Settled)

(* Called under the core's frames, which no exception may cross: this thread's next drain
   raises it. *)
let () =
  Callback.register "weir.deliver" (fun index code ->
      try deliver index code
      with exn -> Raw.tell_here (raising exn (Printexc.get_raw_backtrace ())))
