(* SPDX-License-Identifier: ISC
   Waiting for tasks and taking them back. *)

type 'a outcome = 'a Promise.outcome =
  | Value of 'a
  | Raised of exn * Printexc.raw_backtrace
  | Canceled
  | Closed
  | Expired

type 'a t = 'a Promise.t

let of_promise t = t
let poll = Promise.poll
let on_settle = Promise.on_settle

let value = function
  | Value x -> x
  | Raised (exn, trace) -> Printexc.raise_with_backtrace exn trace
  | Canceled -> raise Error.Canceled
  | Closed -> raise Error.Closed
  | Expired -> raise Error.Expired

(* Without a main nobody else tells it: see wml_task_done. *)
let taken_back (t : _ t) =
  Promise.wake (Promise.settle t Canceled);
  if t.has_main then Raw.slot_drop (Raw.index t.id)
  else begin
    Promise.drop (Raw.index t.id);
    Promise.tell t
  end

let cancel (t : _ t) =
  let code = if t.id < 0 then Raw.invalid else Raw.cancel t.id in
  if code = 0 then taken_back t;
  Promise.drain ();
  if code = 0 then `Taken_back else if code = Raw.busy then `Running else `Settled

(* Waiting *)

let is_settled t = match Promise.poll t with None -> false | Some _ -> true

let wait_as_thread t =
  let mutex = Mutex.create () and changed = Condition.create () in
  let settled = ref false in
  let wake () =
    Mutex.lock mutex;
    settled := true;
    Condition.signal changed;
    Mutex.unlock mutex
  in
  if Promise.on_wake t wake then begin
    Mutex.lock mutex;
    while not !settled do
      Condition.wait changed mutex
    done;
    Mutex.unlock mutex
  end

(* The task may need this thread's mains, to call back into one or to be told. *)
let wait_as_mains mains t =
  let source, sink = Unix.pipe ~cloexec:true () in
  let wake () = ignore (Unix.write_substring sink "x" 0 1) in
  let fds = Array.of_list (source :: List.map Main.fd mains) in
  let turn () =
    Raw.poll fds;
    List.iter (fun main -> ignore (Main.dispatch main)) mains
  in
  if Promise.on_wake t wake then begin
    while not (is_settled t) do
      turn ()
    done;
    ignore (Unix.read source (Bytes.create 1) 0 1) (* who settles it may be about to write *)
  end;
  Unix.close source;
  Unix.close sink

let wait t =
  match Main.of_thread () with [] -> wait_as_thread t | mains -> wait_as_mains mains t

let would_deadlock who = invalid_arg (who ^ ": every thread of the pool would wait for the others")

(* A worker that waits for a task of its own pool takes a thread away; when the
   last one does, none is left to run what they all wait for. *)
let wait_as_worker (crew : Promise.crew) t =
  let others = Atomic.fetch_and_add crew.awaiting 1 in
  Fun.protect
    ~finally:(fun () -> Atomic.decr crew.awaiting)
    (fun () ->
      if others + 1 >= (Raw.stats crew.handle).threads then would_deadlock "Weir.Future.await";
      wait t)

let block (t : _ t) =
  if t.id >= 0 && Raw.current () = t.id then
    invalid_arg "Weir.Future.await: the caller is this task";
  match t.crew with Some crew when Raw.serves crew.handle -> wait_as_worker crew t | _ -> wait t

let rec outcome t =
  match Promise.poll t with
  | Some outcome -> outcome
  | None ->
      block t;
      outcome t

let await t = value (outcome t)
