(* SPDX-License-Identifier: ISC
   Weir.Pool's limits: what a full queue does, deadlines, purge, the options and their
   bad values. *)

open Support
module Pool = Weir.Pool
module Future = Weir.Future
module Main = Weir.Main

exception Own

let check_int = Alcotest.(check int)
let self () = Thread.id (Thread.self ())

let outcome_is what expected future =
  Alcotest.(check bool) what true (Future.outcome future = expected)

(* Of one thread, which is held; the queue is empty. *)
let held ?queue_limit ?when_full () =
  let pool = Pool.create ?queue_limit ?when_full ~threads:1 ~init:ignore ~at_exit:ignore () in
  let hold = Hold.make () in
  ignore (Pool.run pool (Hold.task hold));
  Hold.until_it_runs hold;
  (pool, hold)

let told future =
  let gate = Gate.make () in
  Future.on_settle future (fun _ -> Gate.open_ gate);
  Gate.enter gate

(* Run on the caller *)

let on_the_caller () =
  let when_full = `Run_here (fun () -> "here") in
  let init () = "there" in
  let pool = Pool.create ~queue_limit:1 ~when_full ~threads:1 ~init ~at_exit:ignore () in
  let hold = Hold.make () in
  ignore (Pool.run pool (Hold.task hold));
  Hold.until_it_runs hold;
  let queued = Pool.run pool Fun.id in
  let here = Pool.run pool (fun state -> (state, self ())) in
  Alcotest.(check bool) "settled" true (Future.poll here = Some (Value ("here", self ())));
  told here;
  check_int "counted" 1 (Pool.stats pool).ok;
  Hold.let_go hold;
  Alcotest.(check string) "the queued one" "there" (Future.await queued);
  Pool.close pool

let on_the_caller_raises () =
  let pool, hold = held ~queue_limit:1 ~when_full:(`Run_here ignore) () in
  ignore (Pool.run pool ignore);
  Alcotest.check_raises "the task's" Own (fun () ->
      Future.await (Pool.run pool (fun () -> raise Own)));
  check_int "failed" 1 (Pool.stats pool).failed;
  Hold.let_go hold;
  Pool.close pool;
  let pool, hold = held ~queue_limit:1 ~when_full:(`Run_here (fun () -> raise Own)) () in
  ignore (Pool.run pool ignore);
  Alcotest.check_raises "the state's" Own (fun () -> Future.await (Pool.run pool ignore));
  Hold.let_go hold;
  Pool.close pool

(* On a thread with a main, told in its dispatch; what it submits is run there too. *)
let on_the_caller_nested () =
  let main = Main.create () in
  let pool, hold = held ~queue_limit:1 ~when_full:(`Run_here ignore) () in
  ignore (Pool.run pool ignore);
  let inner () = Future.await (Pool.run pool (fun () -> self ())) in
  let outer = Pool.run ~main pool inner in
  let seen = ref false in
  Future.on_settle outer (fun _ -> seen := true);
  Alcotest.(check bool) "not before a dispatch" false !seen;
  ignore (Main.dispatch main);
  Alcotest.(check bool) "in a dispatch" true !seen;
  check_int "here" (self ()) (Future.await outer);
  Hold.let_go hold;
  Pool.close pool;
  Main.close main

(* A call that a task here dispatches is an ordinary delivery. *)
let on_the_caller_dispatches () =
  let main = Main.create () and answer = Atomic.make 0 in
  let pool, hold = held ~queue_limit:1 ~when_full:(`Run_here ignore) () in
  ignore (Pool.run pool ignore);
  let call () = Atomic.set answer (Main.run_in ~main (fun () -> 7)) in
  let caller = Thread.create call () in
  let turn () =
    ignore (Main.dispatch main);
    Atomic.get answer = 7
  in
  Future.await (Pool.run pool (fun () -> until turn));
  Thread.join caller;
  Hold.let_go hold;
  Pool.close pool;
  Main.close main

(* Many threads, so that a task runs here and there at random: each once. *)
let on_many_callers () =
  let when_full = `Run_here ignore and ran = Atomic.make 0 in
  let pool = Pool.create ~queue_limit:2 ~when_full ~threads:2 ~init:ignore ~at_exit:ignore () in
  let submit () =
    for _ = 1 to 1_000 do
      Future.await (Pool.run pool (fun () -> Atomic.incr ran))
    done
  in
  List.iter Thread.join (List.init 6 (fun _ -> Thread.create submit ()));
  check_int "each once" 6_000 (Atomic.get ran);
  Pool.close pool;
  check_int "counted" 6_000 (Pool.stats pool).ok

(* Drop the oldest *)

let drops_the_oldest () =
  let pool, hold = held ~queue_limit:2 ~when_full:`Drop_oldest () in
  let oldest = Pool.run pool ignore in
  let second = Pool.run pool ignore in
  let newest = Pool.run pool ignore in
  told oldest (* although no thread is free *);
  outcome_is "dropped" Full oldest;
  Alcotest.check_raises "await" Weir.Full (fun () -> Future.await oldest);
  Alcotest.(check bool) "settled" true (Future.cancel oldest = `Settled);
  check_int "counted" 1 (Pool.stats pool).dropped;
  Hold.let_go hold;
  List.iter Future.await [ second; newest ];
  Pool.close pool

let drops_none_above () =
  let main = Main.create () in
  let pool, hold = held ~queue_limit:2 ~when_full:`Drop_oldest () in
  let high = List.init 2 (fun _ -> Pool.run ~main ~priority:High pool ignore) in
  Alcotest.check_raises "the new one is the lowest" Weir.Full (fun () ->
      ignore (Pool.run ~main pool ignore));
  check_int "refused" 1 (Pool.stats pool).refused;
  let third = Pool.run ~main ~priority:High pool ignore in
  outcome_is "the oldest High one" Full (List.hd high);
  Hold.let_go hold;
  List.iter Future.await (third :: List.tl high);
  Pool.close pool;
  Main.close main

(* Deadlines and order *)

let thousand_deadlines () =
  let pool = Pool.create ~threads:4 ~init:ignore ~at_exit:ignore () in
  let holds = List.init 4 (fun _ -> Hold.make ()) in
  let stuck = List.map (fun hold -> Pool.run pool (Hold.task hold)) holds in
  List.iter Hold.until_it_runs holds;
  let expired = Atomic.make 0 and ran = Atomic.make 0 in
  for _ = 1 to 1_000 do
    let late = Pool.run ~start_within:0.05 pool (fun () -> Atomic.incr ran) in
    Future.on_settle late (fun outcome -> if outcome = Expired then Atomic.incr expired)
  done;
  until (fun () -> Atomic.get expired = 1_000);
  check_int "the workers are stuck still" 4 (Pool.stats pool).running;
  List.iter Hold.let_go holds;
  List.iter Future.await stuck;
  Pool.close ~mode:`Drain pool;
  check_int "none ran" 0 (Atomic.get ran)

let lowest_is_served () =
  let pool = Pool.create ~threads:1 ~init:ignore ~at_exit:ignore () in
  Pool.pause pool;
  let ran = ref 0 and low_ran_at = ref 0 in
  let low = Pool.run ~priority:Low pool (fun () -> low_ran_at := !ran) in
  for _ = 1 to 100 do
    ignore (Pool.run ~priority:High pool (fun () -> incr ran))
  done;
  Pool.resume pool;
  Future.await low;
  if !low_ran_at > 31 then Alcotest.failf "after %d others" !low_ran_at;
  Pool.close ~mode:`Drain pool

let many_waiters () =
  let pool, hold = held () in
  let future = Pool.run pool (fun () -> 9) in
  let sum = Atomic.make 0 and about = Atomic.make 0 in
  let wait () =
    Atomic.incr about;
    ignore (Atomic.fetch_and_add sum (Future.await future))
  in
  let threads = List.init 16 (fun _ -> Thread.create wait ()) in
  until (fun () -> Atomic.get about = 16);
  Hold.let_go hold;
  List.iter Thread.join threads;
  check_int "each got it" (16 * 9) (Atomic.get sum);
  Pool.close pool

(* Purge *)

let purges () =
  let main = Main.create () in
  let pool, hold = held () and other, other_hold = held () in
  let elsewhere = Pool.run other (fun () -> 1) in
  let tasks = List.init 10 (fun _ -> Pool.run pool ignore) in
  let aimed = List.init 10 (fun _ -> Pool.run ~main pool ignore) in
  let seen = ref 0 in
  List.iter (fun f -> Future.on_settle f (fun _ -> incr seen)) (tasks @ aimed);
  check_int "how many" 20 (Pool.purge pool);
  check_int "told here" 10 !seen;
  while Main.dispatch main > 0 do
    ()
  done;
  check_int "told in a dispatch" 20 !seen;
  List.iter (outcome_is "taken back" Canceled) (tasks @ aimed);
  check_int "none is left" 0 (Pool.stats pool).queued;
  check_int "none again" 0 (Pool.purge pool);
  List.iter Hold.let_go [ hold; other_hold ];
  check_int "the other pool's" 1 (Future.await elsewhere);
  List.iter Pool.close [ pool; other ];
  check_int "closed" 0 (Pool.purge pool);
  Main.close main

let purge_under_load () =
  let pool = Pool.create ~threads:2 ~init:ignore ~at_exit:ignore () in
  let ran = Atomic.make 0 and settled = Atomic.make 0 in
  let submit () =
    for _ = 1 to 5_000 do
      let future = Pool.run pool (fun () -> Atomic.incr ran) in
      Future.on_settle future (fun _ -> Atomic.incr settled)
    done
  in
  let threads = List.init 2 (fun _ -> Thread.create submit ()) in
  let taken = ref 0 in
  for _ = 1 to 200 do
    taken := !taken + Pool.purge pool;
    Thread.yield ()
  done;
  List.iter Thread.join threads;
  Pool.close ~mode:`Drain pool;
  check_int "each settled once" 10_000 (Atomic.get settled);
  check_int "each ran or was taken back" 10_000 (Atomic.get ran + !taken)

let paused_and_closed () =
  let pool, hold = held () in
  Hold.let_go hold;
  Pool.close pool;
  Alcotest.check_raises "pause" Weir.Closed (fun () -> Pool.pause pool);
  Alcotest.check_raises "resume" Weir.Closed (fun () -> Pool.resume pool);
  let close_within seconds () = Pool.close_within pool seconds in
  List.iter
    (fun s -> raises_invalid ~naming:"close_within: the limit" (close_within s))
    [ -1.; nan; neg_infinity ]

(* Options *)

(* Functions cannot be compared. *)
let same a b =
  let caps o = List.map o.Weir.Options.max_running [ Weir.High; Normal; Low ] in
  let rest (o : Weir.Options.t) =
    ( (o.name, o.threads, o.threads_max, o.idle, o.max_blocked, o.queue_limit),
      (o.when_full, o.measure, o.tick_ms, o.kind) )
  in
  caps a = caps b && rest a = rest b

let getters () =
  let max_running = function Weir.High -> Some 3 | Normal -> Some 2 | Low -> None in
  let pool =
    Pool.create ~name:"own" ~threads_max:5 ~idle:0.25 ~max_blocked:4 ~queue_limit:7
      ~when_full:`Drop_oldest ~max_running ~measure:`Times ~tick_ms:50 ~threads:2 ~init:ignore
      ~at_exit:ignore ()
  in
  let o = Pool.options pool in
  let expected =
    {
      Weir.Options.name = "own";
      threads = 2;
      threads_max = 5;
      idle = 0.25;
      max_blocked = 4;
      queue_limit = Some 7;
      when_full = `Drop_oldest;
      max_running;
      measure = `Times;
      tick_ms = Some 50;
      kind = `Threads;
    }
  in
  Alcotest.(check bool) "all" true (same o expected);
  Pool.close pool

let defaults () =
  let pool = Pool.create ~threads:2 ~init:ignore ~at_exit:ignore () in
  let o = Pool.options pool in
  Alcotest.(check string) "name" "weir" o.name;
  List.iter
    (fun (what, expected, is) -> check_int what expected is)
    [ ("threads_max", 2, o.threads_max); ("max_blocked", 0, o.max_blocked) ];
  Alcotest.(check (float 1e-9)) "idle" 10. o.idle;
  Alcotest.(check (list (option int)))
    "no limits" [ None; None; None; None; None ]
    (o.queue_limit :: o.tick_ms :: List.map o.max_running [ High; Normal; Low ]);
  Alcotest.(check bool)
    "choices" true
    (o.when_full = `Reject && o.measure = `Nothing && o.kind = `Threads);
  Pool.close pool

let policies_are_read_back () =
  let read when_full expected =
    let pool = Pool.create ~when_full ~threads:1 ~init:ignore ~at_exit:ignore () in
    Alcotest.(check bool) "when_full" true ((Pool.options pool).when_full = expected);
    Pool.close pool
  in
  read `Reject `Reject;
  read `Block `Block;
  read (`Run_here ignore) `Run_here;
  read `Drop_oldest `Drop_oldest

let bad_values () =
  let create ?threads_max ?idle ?max_blocked ?queue_limit ?max_running ?tick_ms ?(threads = 2) ()
      =
    Pool.close
      (Pool.create ?threads_max ?idle ?max_blocked ?queue_limit ?max_running ?tick_ms ~threads
         ~init:ignore ~at_exit:ignore ())
  in
  let bad what n create =
    raises_invalid ~naming:(Printf.sprintf "Weir.Pool.create: %s is %d" what n) create
  in
  let each what values create = List.iter (fun n -> bad what n (create n)) values in
  each "threads" [ -1; 1025 ] (fun threads () -> create ~threads ());
  each "threads_max" [ 0 ] (fun threads () -> create ~threads ());
  each "threads_max" [ 1; 0; -1; 1025; max_int ] (fun n () -> create ~threads_max:n ());
  each "max_blocked" [ -1; 1025; min_int ] (fun n () -> create ~max_blocked:n ());
  each "queue_limit" [ 0; -1; 1 lsl 32; max_int ] (fun n () -> create ~queue_limit:n ());
  each "max_running" [ 0; -1; 1 lsl 32 ] (fun n () -> create ~max_running:(fun _ -> Some n) ());
  each "tick_ms" [ 0; -1; max_int ] (fun n () -> create ~tick_ms:n ());
  List.iter
    (fun s ->
      let naming = Printf.sprintf "Weir.Pool.create: idle is %g" s in
      raises_invalid ~naming (fun () -> create ~idle:s ()))
    [ 0.; -1.; nan; neg_infinity ];
  create ~idle:infinity ~threads_max:3 ()

(* Rounded to nothing it would be the core's default. *)
let shortest_idle () =
  let pool = Pool.create ~idle:1e-12 ~threads:1 ~init:ignore ~at_exit:ignore () in
  Alcotest.(check (float 1e-12)) "a nanosecond" 1e-9 (Pool.options pool).idle;
  Pool.close pool

let () =
  main "limits"
    [
      ( "a full queue",
        [
          test "runs the task on the caller, with a state of the caller's" on_the_caller;
          test "what raises there settles the future" on_the_caller_raises;
          test "and is told where it was aimed; it may submit itself" on_the_caller_nested;
          test "and may dispatch a main" on_the_caller_dispatches;
          test "6,000 tasks of six callers run once each" on_many_callers;
          test "drops the oldest task, which settles as full" drops_the_oldest;
          test "drops none of a higher priority" drops_none_above;
        ] );
      ( "order",
        [
          test "1,000 deadlines pass on time with four stuck threads" thousand_deadlines;
          test "every 32nd start serves the lowest priority" lowest_is_served;
          test "many threads await one future" many_waiters;
        ] );
      ( "purging and closing",
        [
          test "purge takes back what is queued here, and nothing else" purges;
          test "a purge under load loses no task" purge_under_load;
          test "a closed pool can be neither paused nor resumed" paused_and_closed;
        ] );
      ( "options",
        [
          test "every option can be read back" getters;
          test "and its default" defaults;
          test "and every policy" policies_are_read_back;
          test "the shortest idle time is not none" shortest_idle;
          test "values out of range are refused by name and value" bad_values;
        ] );
    ]
