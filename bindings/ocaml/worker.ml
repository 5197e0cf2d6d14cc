(* SPDX-License-Identifier: ISC
   What a thread does while it serves a pool.

   Between two tasks it takes the next one without releasing the runtime, which makes short
   tasks cheap. So it must hand the runtime over itself: it yields after [most] tasks or
   after [quantum] nanoseconds. To release and acquire the runtime would not be enough,
   because the releasing thread runs already and wins the runtime back. *)

type program = {
  link : Promise.pool_link;
  name : string;
  init : unit -> Promise.state;
  at_exit : Promise.state -> unit;
  lets_in : [ `Nobody | `Loops | `All ]; (* while a task computes *)
}

type phase = Starting | Entered | Serving of Promise.state | Leaving of { lost : bool }
type t = { program : program; mutable phase : phase; mutable cell : Promise.cell }

let most = 64
let quantum = 1_000_000

let failed program exn trace =
  ignore (Atomic.compare_and_set program.link.failure None (Some (exn, trace)))

(* One task *)

let judge exn trace =
  match exn with
  | Error.Canceled when Raw.cancel_requested () -> (Promise.Canceled, Raw.canceled)
  | _ -> (Promise.Raised (exn, trace), Raw.failed)

let call work state =
  match work state with
  | x -> (Promise.Value x, 0)
  | exception exn -> judge exn (Printexc.get_raw_backtrace ())

let letting_in program work state =
  if program.lets_in = `Nobody then call work state
  else begin
    Raw.tick_begin (program.lets_in = `All);
    let result = call work state in
    Raw.tick_end (program.lets_in = `All);
    result
  end

let settle t outcome code =
  let wakes = Promise.settle t outcome in
  let stays = Raw.worker_settle code = 0 in
  Promise.wake wakes;
  Promise.drain_all ();
  stays

(* The caller of a full queue runs the task. Nobody can await it before run has returned. *)
let run_here index () =
  match Slots.get Promise.cells index with
  | Promise.Task ({ link = Some link; _ } as t) ->
      let outcome, code = call (fun work -> work (link.here ())) t.work in
      ignore (Promise.settle t outcome);
      code
  | _ -> Raw.failed

let () = Callback.register "weir.run_here" run_here

let run_promise w state t =
  Trace.note_step w.program.name ~begins:true;
  let outcome, code = letting_in w.program t.Promise.work state in
  Trace.note_step w.program.name ~begins:false;
  w.cell <- Promise.Nothing;
  settle t outcome code

let run w state index =
  w.cell <- Slots.get Promise.cells index;
  match w.cell with
  | Promise.Task t -> run_promise w state t
  | _ -> Raw.worker_settle Raw.failed = 0

(* The loop *)

let rec serve w state left until =
  if left = 0 || Raw.now () >= until then begin
    Thread.yield ();
    serve w state most (Raw.now () + quantum)
  end
  else
    let index = Raw.worker_next () in
    if index >= 0 then step w state index (left - 1) until
    else if index = Raw.again then
      let index = Raw.worker_wait () in
      if index >= 0 then step w state index most (Raw.now () + quantum)

and step w state index left until = if run w state index then serve w state left until

(* Leave *)

let step_out ?(code = 0) w ~lost =
  Raw.worker_leave ~lost code;
  Promise.drain_all ();
  Promise.look_again w.program.link

let give_back program state =
  Error.protect (Error.unhandled program.name `At_exit) program.at_exit state

let leave w ~lost state =
  w.phase <- Leaving { lost };
  Promise.drain_all ();
  give_back w.program state;
  step_out w ~lost

let refuse program code =
  Raw.worker_refuse program.link.handle code;
  Promise.drain_all ();
  Promise.look_again program.link

let exited = Failure "Thread.exit called on a thread of a weir pool"

(* The thread ends while it serves, or its init has failed after it entered. *)
let lose w exn trace =
  (match w.cell with
  | Promise.Task t ->
      if w.program.lets_in <> `Nobody then Raw.tick_end (w.program.lets_in = `All);
      ignore (settle t (Promise.Raised (exn, trace)) Raw.failed)
  | _ -> ());
  w.cell <- Promise.Nothing;
  match w.phase with
  | Serving state -> leave w ~lost:true state
  | Leaving { lost } -> step_out w ~lost
  | Entered ->
      Error.unhandled w.program.name `Init exn trace;
      Atomic.set w.program.link.failure (Some (exn, trace));
      step_out w ~code:Raw.failed ~lost:false
  | Starting ->
      failed w.program exn trace;
      refuse w.program Raw.failed

let work w state =
  w.phase <- Serving state;
  match serve w state most (Raw.now () + quantum) with
  | () -> leave w ~lost:false state
  | exception exn -> lose w exn (Printexc.get_raw_backtrace ())

let enter w state =
  match Raw.worker_enter w.program.link.handle with
  | 0 ->
      Promise.drain_all ();
      work w state
  | code ->
      give_back w.program state;
      if code = Raw.out_of_memory then refuse w.program code

(* For a thread of the open: if its init raises, the open fails. *)
let begin_service w =
  match w.program.init () with
  | state -> enter w state
  | exception exn ->
      failed w.program exn (Printexc.get_raw_backtrace ());
      refuse w.program Raw.failed

(* A thread that comes later enters before its init, because a close does not wait for
   threads that are only asked for, and must not be over before this one has run at_exit. *)
let come_lent w =
  match Raw.worker_enter w.program.link.handle with
  | 0 -> (
      w.phase <- Entered;
      match w.program.init () with
      | state -> work w state
      | exception exn -> lose w exn (Printexc.get_raw_backtrace ()))
  | code -> if code = Raw.out_of_memory then refuse w.program code

(* Threads that Thread.exit ends (before OCaml 5), by number. *)

let mutex = Mutex.create ()
let endings : (int, unit -> unit) Hashtbl.t = Hashtbl.create 16
let last = ref 0

let locked f =
  Mutex.lock mutex;
  let x = f () in
  Mutex.unlock mutex;
  x

let expect_loss ending =
  let number =
    locked (fun () ->
        incr last;
        Hashtbl.replace endings !last ending;
        !last)
  in
  Raw.when_lost number;
  number

let forget_loss number =
  Raw.when_lost 0;
  locked (fun () -> Hashtbl.remove endings number)

let lost number =
  let ending = locked (fun () -> Hashtbl.find endings number) in
  Raw.when_lost number (* at_exit may call Thread.exit as well *);
  ending ();
  forget_loss number;
  Raw.thread_end ()

let () = Callback.register "weir.lost" lost

let body program live number () =
  let w = { program; phase = Starting; cell = Promise.Nothing } in
  Raw.thread_begin program.name number;
  let ending () = lose w exited (Printexc.get_callstack 0) in
  let loss = if Lanes.may_lose then expect_loss ending else 0 in
  live w;
  if Lanes.may_lose then forget_loss loss;
  Raw.thread_end ()

(* [live] is begin_service or come_lent. It raises what Thread.create or Domain.spawn
   raises. *)
let spawn program start live number =
  let mask = Bytes.create (Raw.sigset_size ()) in
  Raw.block_signals program.link.handle mask;
  Fun.protect
    ~finally:(fun () -> Raw.restore_signals mask)
    (fun () -> start (body program live number))
