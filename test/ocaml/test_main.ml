(* SPDX-License-Identifier: ISC
   Weir.Main: deliveries, the descriptor, calls into a main. *)

open Support
module Pool = Weir.Pool
module Future = Weir.Future
module Main = Weir.Main

exception Own

let check_int = Alcotest.(check int)
let check_bool = Alcotest.(check bool)

(* A pool and a main, both gone at the end. *)
let with_main ?uncaught ?(threads = 1) f () =
  let main = Main.create ?uncaught () in
  let pool = Pool.create ~threads ~init:ignore ~at_exit:ignore () in
  f main pool;
  Pool.close pool;
  Main.close main

let readable main =
  let r, _, _ = Unix.select [ Main.fd main ] [] [] 0. in
  r <> []

let rec wait_until main ready =
  if not (ready ()) then begin
    ignore (Main.wait main);
    wait_until main ready
  end

(* Settled, not told: await on the main's own thread would dispatch. *)
let rec until_settled future =
  if Future.poll future = None then begin
    Thread.yield ();
    until_settled future
  end

let delivers main pool =
  let order = ref [] and thread = Thread.id (Thread.self ()) in
  let one i =
    let future = Pool.run ~main pool (fun () -> i) in
    Future.on_settle future (fun outcome ->
        check_int "on the main's thread" thread (Thread.id (Thread.self ()));
        order := Future.value outcome :: !order)
  in
  List.iter one (List.init 200 Fun.id);
  wait_until main (fun () -> Main.pending main = 0);
  Alcotest.(check (list int)) "in order" (List.init 200 Fun.id) (List.rev !order)

let budget main pool =
  let told = ref 0 in
  let futures = List.init 5 (fun _ -> Pool.run ~main pool ignore) in
  List.iter (fun f -> Future.on_settle f (fun _ -> incr told)) futures;
  List.iter until_settled futures;
  Pool.close pool (* the core has posted them all *);
  check_bool "readable" true (readable main);
  check_int "two" 2 (Main.dispatch ~max:2 main);
  check_int "told" 2 !told;
  check_bool "still readable" true (readable main);
  check_int "the rest" 3 (Main.dispatch main);
  check_bool "not readable" false (readable main);
  check_int "nothing" 0 (Main.dispatch main)

let busy main pool =
  let seen = ref [] in
  Main.on_busy main (Some (fun state -> seen := state :: !seen));
  let future = Pool.run ~main pool ignore in
  check_bool "busy at once" true (!seen = [ `Busy ]);
  check_int "pending" 1 (Main.pending main);
  Future.await future;
  wait_until main (fun () -> Main.pending main = 0);
  check_bool "idle" true (!seen = [ `Idle; `Busy ]);
  Main.on_busy main None;
  check_int "wait returns with nothing to come" 0 (Main.wait main)

let await_serves main pool =
  let task () = Main.run_in ~main (fun () -> 20) + Main.run_in (fun () -> 1) in
  check_int "both calls were served" 21 (Future.await (Pool.run ~main pool task))

(* [Main.create] puts the newest first. *)
let await_polls_all _ pool =
  let mains = List.init 40 (fun _ -> Main.create ()) in
  let call main = Future.await (Pool.run pool (fun () -> Main.run_in ~main (fun () -> 1))) in
  let served = List.fold_left (fun n main -> n + call main) 0 mains in
  check_int "each was served" 40 served;
  List.iter Main.close mains

let foreign_thread main pool =
  let task () =
    raises_invalid ~naming:"dispatch" (fun () -> Main.dispatch main);
    raises_invalid ~naming:"wait" (fun () -> Main.wait main);
    raises_invalid ~naming:"close" (fun () -> Main.close main)
  in
  Future.await (Pool.run pool task)

let raising_callback () =
  let caught = ref [] in
  let uncaught exn _ = caught := exn :: !caught in
  with_main ~uncaught
    (fun main pool ->
      let told = ref false in
      let future = Pool.run ~main pool ignore in
      Future.on_settle future (fun _ -> raise Own);
      Future.on_settle future (fun _ -> told := true);
      wait_until main (fun () -> !told);
      check_bool "caught" true (!caught = [ Own ]))
    ()

(* [n] tasks whose deliveries wait in the main, the first of them with [first]. *)
let batch main n first =
  let pool = Pool.create ~threads:1 ~init:ignore ~at_exit:ignore () in
  let told = ref [] in
  let one i =
    let future = Pool.run ~main pool ignore in
    Future.on_settle future (fun _ ->
        told := i :: !told;
        if i = 0 then first told)
  in
  List.iter one (List.init n Fun.id);
  Pool.close ~mode:`Drain pool;
  told

let leaves exn main =
  match Main.dispatch main with
  | _ -> Alcotest.fail "dispatch returned"
  | exception other -> check_bool "as it is" true (other == exn)

let raising_uncaught () =
  let main = Main.create ~uncaught:(fun exn _ -> raise exn) () in
  let told = batch main 3 (fun _ -> raise Own) in
  leaves Own main;
  Alcotest.(check (list int)) "the rest waits" [ 0 ] !told;
  check_bool "readable" true (readable main);
  check_bool "pending" true (Main.pending main > 0);
  ignore (Main.dispatch main);
  Alcotest.(check (list int)) "in order" [ 0; 1; 2 ] (List.rev !told);
  Main.close main

(* Both leave, one after the other. *)
let two_that_raise () =
  let main = Main.create ~uncaught:(fun exn _ -> raise exn) () in
  let pool = Pool.create ~threads:1 ~init:ignore ~at_exit:ignore () in
  let future = Pool.run ~main pool ignore and told = ref false in
  Future.on_settle future (fun _ -> raise Own);
  Future.on_settle future (fun _ -> raise Not_found);
  Future.on_settle future (fun _ -> told := true);
  Pool.close ~mode:`Drain pool;
  leaves Own main;
  check_bool "the last one was told" true !told;
  leaves Not_found main;
  Main.close main

let break_passes main _ =
  let told = batch main 2 (fun _ -> raise Sys.Break) in
  leaves Sys.Break main;
  ignore (Main.dispatch main);
  check_int "the next one too" 2 (List.length !told)

(* The caller hears of it, and so does the program. *)
let break_in_a_call main pool =
  let task () =
    match Main.run_in ~main (fun () -> raise Sys.Break) with
    | () -> false
    | exception Sys.Break -> true
  in
  let future = Pool.run pool task in
  let rec turn () =
    ignore (Main.wait main);
    turn ()
  in
  (match turn () with () -> () | exception Sys.Break -> ());
  check_bool "the caller's" true (Future.await future)

(* The signal comes while the main waits, its handler runs when a delivery has come. *)
let break_in_a_wait main pool =
  let told = ref false in
  let future = Pool.run ~main pool (fun () -> Unix.kill (Unix.getpid ()) Sys.sigint) in
  Future.on_settle future (fun _ -> told := true);
  Sys.catch_break true;
  let rec turn () =
    ignore (Main.wait main);
    turn ()
  in
  (match turn () with () -> () | exception Sys.Break -> ());
  Sys.catch_break false;
  ignore (Main.dispatch main);
  check_bool "told" true !told;
  check_int "nothing pends" 0 (Main.pending main)

let raising_ready () =
  let main = Main.create ~uncaught:(fun exn _ -> raise exn) () in
  let opened = ref None in
  Pool.create_async ~main ~threads:1 ~init:ignore ~at_exit:ignore (fun result ->
      opened := Some (Result.get_ok result);
      raise Own);
  let rec turn () =
    ignore (Main.wait main);
    turn ()
  in
  (match turn () with () -> () | exception Own -> ());
  Pool.close_async ~main (Option.get !opened) (fun () -> raise Own);
  (match turn () with () -> () | exception Own -> ());
  Main.close main

(* What has been told waits on the thread, not in the main. *)
let nested_in_a_batch main pool =
  let hold = Hold.make () in
  let running = Pool.run ~main pool (Hold.task hold) in
  let told = batch main 3 (fun told -> wait_until main (fun () -> List.length !told = 3)) in
  ignore (Main.dispatch main);
  check_int "all told" 3 (List.length !told);
  Hold.let_go hold;
  Future.await running;
  wait_until main (fun () -> Main.pending main = 0)

(* The call was told with the delivery whose callback awaits the caller. *)
let await_in_a_batch main pool =
  let first = Pool.run ~main pool ignore in
  let caller = Pool.run pool (fun () -> Main.run_in ~main (fun () -> 6)) in
  let got = ref 0 in
  Future.on_settle first (fun _ -> got := Future.await caller);
  Support.until (fun () -> Main.pending main = 2);
  until_settled first;
  Support.until (fun () -> (Pool.stats pool).ok = 1);
  ignore (Main.dispatch main);
  check_int "served" 6 !got

let nothing_in_a_callback main pool =
  let inside = ref [] in
  let future = Pool.run ~main pool ignore in
  Future.on_settle future (fun _ -> inside := [ Main.pending main; Main.wait main ]);
  wait_until main (fun () -> !inside <> []);
  Alcotest.(check (list int)) "nothing pends, nothing came" [ 0; 0 ] !inside

let nested main pool =
  let inner = ref 0 and finished = ref false in
  let outer = Pool.run ~main pool ignore in
  Future.on_settle outer (fun _ ->
      let future = Pool.run ~main pool (fun () -> Main.run_in (fun () -> 7)) in
      Future.on_settle future (fun outcome -> inner := Future.value outcome);
      wait_until main (fun () -> !inner = 7);
      (match Main.close main with
      | () -> Alcotest.fail "closed inside its dispatch"
      | exception Failure _ -> ());
      finished := true);
  wait_until main (fun () -> !finished)

(* Calls *)

let in_task main pool f =
  let future = Pool.run ~main pool f in
  wait_until main (fun () -> Future.poll future <> None);
  Future.await future

let deep_raise () = raise Own

let calls main pool =
  Printexc.record_backtrace true;
  check_int "value" 3 (in_task main pool (fun () -> Main.run_in (fun () -> 3)));
  let task () =
    match Main.run_in deep_raise with
    | _ -> "no exception"
    | exception Own -> Printexc.get_backtrace ()
  in
  check_backtrace "backtrace" (in_task main pool task) "test_main.ml"

(* The pool has no main, and weir's own thread may have one that is older. *)
let unnamed main pool =
  let here = Thread.id (Thread.self ()) in
  let future = Pool.run pool (fun () -> Main.run_in (fun () -> Thread.id (Thread.self ()))) in
  wait_until main (fun () ->
      Thread.yield ();
      ignore (Main.dispatch main);
      Future.poll future <> None);
  check_int "on the first main's thread" here (Future.await future);
  let other = Pool.run ~start_within:20. pool (fun () -> Main.run_in (fun () -> here)) in
  check_int "with a deadline, too" here (Future.await other)

let later main pool =
  let reply = ref None in
  let future = Pool.run ~main pool (fun () -> Main.call (fun r -> reply := Some r)) in
  wait_until main (fun () -> !reply <> None);
  check_bool "the caller waits" true (Future.poll future = None);
  let reply = Option.get !reply in
  Main.finish reply (Ok 9);
  raises_invalid ~naming:"finish" (fun () -> Main.finish reply (Ok 10));
  check_int "later" 9 (Future.await future)

let own_main main _ = raises_invalid ~naming:"Main.run_in" (fun () -> Main.run_in ~main ignore)

(* The pool's only thread waits for a call that waits for a task behind it. *)
let own_full_pool main pool =
  let refused name f =
    let task () = raises_invalid ~naming:(name ^ ": would deadlock: pool 'weir', 1 of 1") f in
    in_task main pool task
  in
  let queued () = Pool.run ~main pool ignore in
  refused "Weir.Main.call" (fun () ->
      Main.call (fun reply -> Future.on_settle (queued ()) (fun _ -> Main.finish reply (Ok ()))));
  refused "Weir.Future.await" (fun () -> Main.run_in (fun () -> Future.await (queued ())));
  in_task main pool (fun () -> Main.run_in (fun () -> ignore (queued ())));
  let other = Pool.create ~threads:1 ~init:ignore ~at_exit:ignore () in
  let elsewhere () =
    ignore (queued ());
    Future.await (Pool.run other (fun () -> 2))
  in
  check_int "one of another pool" 2 (in_task main pool (fun () -> Main.run_in elsewhere));
  Pool.close other;
  let expires () = Pool.run ~main ~start_within:0.001 pool ignore in
  let call () = Main.run_in (fun () -> Future.outcome (expires ())) in
  check_bool "one that expires is waited for" true (in_task main pool call = Expired)

let foreign_caller main _ =
  let result = Atomic.make 0 in
  let thread = Thread.create (fun () -> Atomic.set result (Main.run_in ~main (fun () -> 5))) () in
  wait_until main (fun () ->
      Thread.yield ();
      ignore (Main.dispatch main);
      Atomic.get result = 5);
  Thread.join thread

(* Every worker is stuck in a call when the main closes: one begun, one posted. *)
let closes_under_calls () =
  let main = Main.create () in
  let pool = Pool.create ~threads:2 ~init:ignore ~at_exit:ignore () in
  let begun = ref None in
  let call () =
    match Main.call ~main (fun reply -> begun := Some reply) with
    | () -> false
    | exception Weir.Closed -> true
  in
  let first = Pool.run pool call in
  while !begun = None do
    ignore (Main.dispatch main);
    Thread.yield ()
  done;
  let second = Pool.run pool (fun () -> call ()) in
  while Main.pending main < 2 do
    Thread.yield ()
  done;
  Main.close main;
  check_bool "begun" true (Future.await first);
  check_bool "posted" true (Future.await second);
  Option.iter (fun reply -> Main.finish reply (Ok ())) !begun;
  let late = Pool.run pool call in
  check_bool "after the close" true (Future.await late);
  Pool.close pool

let closing () =
  let main = Main.create () and hold = Hold.make () in
  let pool = Pool.create ~threads:1 ~init:ignore ~at_exit:ignore () in
  let running = Pool.run ~main pool (Hold.task hold) in
  Hold.until_it_runs hold;
  let queued = Pool.run ~main pool ignore in
  let told = ref false in
  Future.on_settle queued (fun outcome -> told := outcome = Closed);
  (match Main.close main with
  | () -> Alcotest.fail "closed under a running task"
  | exception Failure _ -> ());
  check_bool "the queued one was told" true !told;
  Main.close ~detach:true main;
  Main.close main;
  raises_invalid ~naming:"closed" (fun () -> Main.dispatch main);
  raises_invalid ~naming:"closed" (fun () -> Pool.run ~main pool ignore);
  let orphan = Gate.make () in
  Future.on_settle running (fun _ -> Gate.open_ orphan);
  Hold.let_go hold;
  Gate.enter orphan (* told on the worker *);
  Pool.close pool

(* A blocking call on the main's thread serves calls, and tells nothing. *)
let close_serves_calls main _ =
  let pool = Pool.create ~threads:1 ~init:ignore ~at_exit:ignore () in
  let told = ref false and closing = Gate.make () in
  let task () =
    Gate.enter closing;
    let n = Main.run_in ~main (fun () -> 4) in
    match Main.call ~main ignore with
    | () -> 0
    | exception Invalid_argument _ -> n (* nobody turns that loop: refused *)
  in
  let future = Pool.run ~main pool task in
  Future.on_settle future (fun _ -> told := true);
  Gate.open_ closing;
  Pool.close ~mode:`Drain pool;
  check_bool "not told inside" false !told;
  check_int "served" 4 (Future.await future);
  wait_until main (fun () -> !told)

let blocked_run_serves_calls main _ =
  let pool =
    Pool.create ~queue_limit:1 ~when_full:`Block ~threads:1 ~init:ignore ~at_exit:ignore ()
  in
  let call () = Main.run_in ~main (fun () -> 1) in
  let futures = List.init 20 (fun _ -> Pool.run ~main pool call) in
  check_int "each was served" 20 (List.fold_left (fun n f -> n + Future.await f) 0 futures);
  wait_until main (fun () -> Main.pending main = 0);
  Pool.close pool

let stress main pool =
  let n = 500 in
  let told = ref 0 in
  let one i =
    let future = Pool.run ~main pool (fun () -> Main.run_in (fun () -> i)) in
    Future.on_settle future (fun outcome -> told := !told + Future.value outcome)
  in
  List.iter one (List.init n Fun.id);
  wait_until main (fun () -> Main.pending main = 0);
  check_int "all told" (n * (n - 1) / 2) !told

(* Posting *)

let posts main _ =
  let order = ref [] and thread = Thread.id (Thread.self ()) in
  let one i () = order := (i, Thread.id (Thread.self ()) = thread) :: !order in
  let post () = List.iter (fun i -> Main.post ~main (one i)) [ 1; 2; 3 ] in
  post ();
  check_int "none has run" 0 (List.length !order);
  Thread.join (Thread.create post ());
  check_int "pending" 6 (Main.pending main);
  check_int "delivered" 6 (Main.dispatch main);
  Alcotest.(check (list (pair int bool)))
    "in order, on the main's thread"
    (List.map (fun i -> (i, true)) [ 1; 2; 3; 1; 2; 3 ])
    (List.rev !order);
  check_int "no more" 0 (Main.pending main)

let posted_raises () =
  let seen = ref [] in
  let main = Main.create ~uncaught:(fun exn _ -> seen := exn :: !seen) () in
  Main.post ~main (fun () -> raise Own);
  check_int "delivered" 1 (Main.dispatch main);
  check_bool "went to uncaught" true (!seen = [ Own ]);
  let ran = ref false in
  Main.post ~main (fun () -> ran := true);
  Main.close main;
  check_bool "a close runs what was posted" true !ran;
  match Main.post ~main ignore with
  | () -> Alcotest.fail "posted to a closed main"
  | exception Weir.Closed -> ()

(* The first post of an idle main makes it busy. *)
let post_is_busy main _ =
  let seen = ref [] in
  Main.on_busy main (Some (fun what -> seen := what :: !seen));
  Main.post ~main ignore;
  check_bool "busy" true (!seen = [ `Busy ]);
  ignore (Main.dispatch main);
  check_bool "idle" true (!seen = [ `Idle; `Busy ])

let () =
  main "main"
    [
      ( "posts",
        [
          test "what is posted runs later, in order, on the main's thread" (with_main posts);
          test "what it raises goes to uncaught; a closed main refuses" posted_raises;
          test "a post makes the main busy" (with_main post_is_busy);
        ] );
      ( "deliveries",
        [
          test "tasks are told in order on the main's thread" (with_main delivers);
          test "what a budget leaves keeps the descriptor readable" (with_main budget);
          test "on_busy follows the pending count" (with_main busy);
          test "await on the main's thread lets the task call back" (with_main await_serves);
          test "await serves any number of mains of its thread" (with_main await_polls_all);
          test "another thread may not dispatch, wait or close" (with_main foreign_thread);
          test "a callback that raises goes to uncaught, the next one runs" raising_callback;
          test "what uncaught raises leaves dispatch, the rest stays" raising_uncaught;
          test "two callbacks that raise both leave dispatch" two_that_raise;
          test "what a pool's ready and closed raise goes to uncaught" raising_ready;
          test "Sys.Break leaves dispatch" (with_main break_passes);
          test "Sys.Break in a call ends the call and leaves dispatch" (with_main break_in_a_call);
          test "^C during a wait loses no delivery" (with_main break_in_a_wait);
          test "a callback may wait for other deliveries" (with_main nested);
          test "a callback's own delivery is not pending in it" (with_main nothing_in_a_callback);
          test "also for those that came with its own" (with_main nested_in_a_batch);
          test "or await a task whose call did" (with_main await_in_a_batch);
        ] );
      ( "calls",
        [
          test "a call returns the value, or raises with the backtrace" (with_main calls);
          test "without a name a call goes to the first main" (with_main unnamed);
          test "a call may be finished later, once" (with_main later);
          test "the main's own thread may not call itself" (with_main own_main);
          test "a thread of no pool may call" (with_main foreign_caller);
          test "a call that waits for its caller's own full pool is refused"
            (with_main own_full_pool);
          test "calls end when their main closes" closes_under_calls;
          test "many tasks call at once" (with_main ~threads:4 stress);
        ] );
      ( "closing",
        [
          test "a main closes under queued tasks, not under running ones" closing;
          test "a pool's close serves calls and tells nothing" (with_main close_serves_calls);
          test "a run that waits for space serves calls" (with_main blocked_run_serves_calls);
        ] );
    ]
