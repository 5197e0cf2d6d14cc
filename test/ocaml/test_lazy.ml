(* SPDX-License-Identifier: ISC
   Weir.Pool without a thread until there is something to do. *)

open Support
module Pool = Weir.Pool
module Future = Weir.Future
module Main = Weir.Main

exception Own of int

let check_int = Alcotest.(check int)
let threads_are pool n () = (Pool.stats pool).threads = n

(* Whose threads retire as soon as they idle. *)
let lazily ?(idle = 1e-9) ?kind ?(init = ignore) ?(at_exit = ignore) threads_max =
  Pool.create ~idle ?kind ~threads_max ~threads:0 ~init ~at_exit ()

let until_empty pool =
  until (threads_are pool 0);
  until_no_pool_thread ()

(* Opening, growing, retiring *)

let comes_with_a_task () =
  let inits = Atomic.make 0 and exits = Atomic.make 0 in
  let pool =
    lazily ~init:(fun () -> Atomic.incr inits) ~at_exit:(fun () -> Atomic.incr exits) 2
  in
  check_int "no thread" 0 (pool_threads ());
  check_int "least" 0 (Pool.threads pool);
  check_int "most" 2 (Pool.options pool).threads_max;
  for i = 1 to 3 do
    check_int "its value" i (Future.await (Pool.run pool (fun () -> i)));
    until_empty pool;
    check_int "states made" i (Atomic.get inits);
    check_int "and given back" i (Atomic.get exits)
  done;
  check_int "retired" 3 (Pool.stats pool).retired;
  Pool.close pool

(* Else the callback of another pool would run inside the create. *)
let create_does_not_wait () =
  let main = Main.create () in
  let told = ref false in
  Main.post ~main (fun () -> told := true);
  let pool = lazily 1 in
  Alcotest.(check bool) "nothing was delivered" false !told;
  check_int "it serves" 1 (Future.await (Pool.run pool (fun () -> 1)));
  Pool.close pool;
  Main.close main

let grows_no_further () =
  let pool = lazily 2 in
  let holds = List.init 2 (fun _ -> Hold.make ()) in
  let held = List.map (fun hold -> Pool.run pool (Hold.task hold)) holds in
  List.iter Hold.until_it_runs holds;
  let third = Pool.run pool (fun () -> 3) in
  check_int "two" 2 (Pool.stats pool).threads;
  check_int "the third waits" 1 (Pool.stats pool).queued;
  List.iter Hold.let_go holds;
  List.iter Future.await held;
  check_int "and runs" 3 (Future.await third);
  Pool.close pool

let resizes () =
  let pool = Pool.create ~idle:1e-9 ~threads:2 ~init:ignore ~at_exit:ignore () in
  Pool.resize ~threads_max:1 pool 0;
  until_empty pool;
  check_int "lazy" 1 (Future.await (Pool.run pool (fun () -> 1)));
  until_empty pool;
  Pool.resize pool 2;
  until (threads_are pool 2);
  check_int "no more" 2 (Pool.threads pool);
  Pool.close pool

(* Each of the waits of a task that has no main, and of one that has. *)
let told_on_a_main () =
  let main = Main.create () and pool = lazily 1 and seen = ref 0 in
  for i = 1 to 2 do
    Future.on_settle (Pool.run ~main pool ignore) (fun _ -> incr seen);
    while !seen < i do
      ignore (Main.wait main)
    done;
    until_empty pool
  done;
  Pool.close pool;
  Main.close main

(* Failures *)

let unhandled f =
  let told = ref [] and before = !Weir.on_unhandled in
  (Weir.on_unhandled := fun u -> told := (u.from, u.exn) :: !told);
  Fun.protect ~finally:(fun () -> Weir.on_unhandled := before) f;
  !told

let a_failed_init () =
  let fails = ref true and tries = ref 0 in
  let init () =
    incr tries;
    if !fails then raise (Own !tries)
  in
  let pool = lazily ~init 1 in
  let told =
    unhandled (fun () ->
        for i = 1 to 2 do
          match Future.outcome (Pool.run pool ignore) with
          | Raised (Own n, trace) ->
              check_int "that try's" i n;
              check_backtrace "trace" (Printexc.raw_backtrace_to_string trace) "test_lazy"
          | _ -> Alcotest.fail "not init's exception"
        done)
  in
  Alcotest.(check bool) "told once each" true (told = [ (`Init, Own 2); (`Init, Own 1) ]);
  fails := false;
  check_int "the next one tries again" 3 (Future.await (Pool.run pool (fun () -> !tries)));
  let s = Pool.stats pool in
  check_int "failed" 2 s.failed;
  check_int "none closed" 0 s.closed;
  Pool.close pool

let all_that_wait_are_told () =
  let gate = Gate.make () and main = Main.create () in
  let init () =
    Gate.enter gate;
    raise Exit
  in
  let pool = lazily ~init 1 in
  let plain = List.init 3 (fun _ -> Pool.run pool ignore) in
  let aimed = List.init 3 (fun _ -> Pool.run ~main pool ignore) in
  let told =
    unhandled (fun () ->
        Gate.open_ gate;
        List.iter
          (fun future -> Alcotest.check_raises "init's" Exit (fun () -> Future.await future))
          (plain @ aimed))
  in
  check_int "told once" 1 (List.length told);
  while Main.pending main > 0 do
    ignore (Main.wait main)
  done;
  Pool.close pool;
  Main.close main

(* The task is taken back while the init runs: the next one has a try of its own. *)
let a_failure_that_nobody_waits_for () =
  let gate = Gate.make () and tries = Atomic.make 0 in
  let init () =
    if Atomic.fetch_and_add tries 1 = 0 then begin
      Gate.enter gate;
      raise Exit
    end
  in
  let pool = lazily ~init 1 in
  let first = Pool.run pool ignore in
  until (fun () -> Atomic.get tries = 1);
  Alcotest.(check bool) "taken back" true (Future.cancel first = `Taken_back);
  let told =
    unhandled (fun () ->
        Gate.open_ gate;
        until_empty pool)
  in
  check_int "told" 1 (List.length told);
  check_int "a try of its own" 2 (Future.await (Pool.run pool (fun () -> Atomic.get tries)));
  Pool.close pool

(* The main that would make the thread is closed. *)
let nobody_lends () =
  let main = Main.create () and pool = ref None in
  let ready r = pool := Some (Result.get_ok r) in
  Pool.create_async ~main ~threads_max:1 ~threads:0 ~init:ignore ~at_exit:ignore ready;
  while !pool = None do
    ignore (Main.wait main)
  done;
  Main.close main;
  let pool = Option.get !pool in
  for _ = 1 to 2 do
    match Future.outcome (Pool.run pool ignore) with
    | Raised (Sys_error text, _) -> check_contains "why" text "the system refused a thread"
    | _ -> Alcotest.fail "no Sys_error"
  done;
  Pool.close pool

let rec fill_up gate =
  match Thread.create Gate.enter gate with
  | _ -> fill_up gate
  | exception (Sys_error _ | Failure _) -> ()

let refused () =
  become_ordinary ();
  let pool = lazily 1 and gate = Gate.make () in
  fill_up gate;
  (match Future.await (Pool.run pool ignore) with
  | () -> say "ran"
  | exception Sys_error text -> say "refused: %s" text);
  Gate.open_ gate;
  let rec again () =
    match Future.await (Pool.run pool (fun () -> 5)) with
    | n -> n
    | exception Sys_error _ -> again ()
  in
  say "and then: %d" (again ());
  Pool.close pool

(* Who waits for its own pool *)

let rec nested pool depth =
  if depth = 0 then 0
  else 1 + Future.await (Pool.run pool (fun () -> nested pool (depth - 1)))

let not_stuck () =
  let pool = lazily 3 in
  for _ = 1 to 2 do
    check_int "it grows for them" 3 (nested pool 3);
    raises_invalid ~naming:"would deadlock: pool 'weir', 3 of 3" (fun () -> nested pool 4);
    until_empty pool
  done;
  Pool.close pool

(* The function of the call awaits a task of the pool, which is served on another thread. *)
let not_stuck_in_a_call () =
  let main = Main.create () and pool = lazily 2 in
  let call () = Main.run_in ~main (fun () -> Future.await (Pool.run pool (fun () -> 4))) in
  check_int "answered" 4 (Future.await (Pool.run pool call));
  Pool.close pool;
  Main.close main

(* Closing *)

let closes () =
  List.iter
    (fun mode ->
      let unused = lazily 2 in
      Pool.close ?mode unused;
      Alcotest.check_raises "closed" Weir.Closed (fun () -> ignore (Pool.run unused ignore));
      let used = lazily 2 in
      Future.await (Pool.run used ignore);
      until_empty used;
      Alcotest.(check bool) "in time" true (Pool.close_within ?mode used 20.);
      let gate = Gate.make () in
      Pool.close_async ?mode (lazily 1) (fun () -> Gate.open_ gate);
      Gate.enter gate)
    [ None; Some `Reject; Some `Drain ]

let drains () =
  let exits = Atomic.make 0 in
  let pool = lazily ~at_exit:(fun () -> Atomic.incr exits) 1 in
  let tasks = List.init 10 (fun i -> Pool.run pool (fun () -> i)) in
  Pool.close ~mode:`Drain pool;
  List.iteri (fun i future -> check_int "ran" i (Future.await future)) tasks;
  Alcotest.(check bool) "every state was given back" true (Atomic.get exits > 0)

let closed_while_it_hires () =
  let inits = Atomic.make 0 and exits = Atomic.make 0 in
  for _ = 1 to 50 do
    let pool =
      lazily ~init:(fun () -> Atomic.incr inits) ~at_exit:(fun () -> Atomic.incr exits) 2
    in
    ignore (Pool.run pool ignore);
    Pool.close pool;
    check_int "as many given back as made" (Atomic.get inits) (Atomic.get exits)
  done

(* Its slots are counted at the end of the test. A task that was taken back leaves a lend
   on its way. *)
let collected () =
  for i = 1 to 200 do
    let pool = lazily 1 in
    if i mod 2 = 0 then ignore (Future.cancel (Pool.run pool ignore))
  done

(* Processes *)

let in_child f =
  flush_all ();
  match Unix.fork () with
  | 0 ->
      (try f () with e -> prerr_endline (Printexc.to_string e));
      flush_all ();
      Unix._exit 0
  | pid -> ignore (Unix.waitpid [] pid)

let forked kind () =
  let kind = if is_ocaml_5 then kind else `Threads in
  let pool = lazily ~kind 1 in
  in_child (fun () ->
      (match Pool.run pool ignore with
      | _ -> say "ran in the child"
      | exception Failure text -> say "child: %b" (contains text "fork"));
      Pool.close pool;
      let own = lazily 1 in
      say "its own: %d" (Future.await (Pool.run own (fun () -> 6)));
      Pool.close own);
  say "parent: %d" (Future.await (Pool.run pool (fun () -> 8)));
  Pool.close pool

let left_open () =
  let used = lazily 1 in
  Future.await (Pool.run used ignore);
  until_empty used;
  ignore (lazily 1);
  say "main ends"

let scenarios =
  [
    ("refused", refused);
    ("forked", forked `Threads);
    ("forked-domains", forked `Domains);
    ("left-open", left_open);
  ]

let () =
  let child = [ "child: true"; "its own: 6"; "parent: 8" ] in
  main ~scenarios "lazy"
    [
      ( "threads",
        [
          test "the first task brings a thread, and the last thread retires" comes_with_a_task;
          test "create does not wait, nor deliver" create_does_not_wait;
          test "a lazy pool grows to threads_max, no further" grows_no_further;
          test "a resize to 0 makes a pool lazy, one to more ends it" resizes;
          test "its tasks are told on their main" told_on_a_main;
        ] );
      ( "failures",
        [
          test "a task has the exception of an init, the next one tries again" a_failed_init;
          test "all that wait have it, and the hook is told once" all_that_wait_are_told;
          test "an init that failed for a task taken back fails no other"
            a_failure_that_nobody_waits_for;
          test "where nobody lends a thread the task says so" nobody_lends;
          scenario_test ~shell:few_threads "and when the system refuses one" "refused"
            [ "refused: Weir.Pool.run: the system refused a thread"; "and then: 5" ];
        ] );
      ( "waiting for its own pool",
        [
          test "a task that awaits gets its thread, or is told" not_stuck;
          test "so does a call" not_stuck_in_a_call;
        ] );
      ( "ends",
        [
          test "a close of a pool without a thread ends, in every mode" closes;
          test "a drain brings the thread that it needs" drains;
          test "a close while a thread is on its way gives its state back" closed_while_it_hires;
          test "an unreachable one goes" collected;
          scenario_test "after a fork the child's is dead" "forked" child;
          scenario_test "and there may be one before a domain is started" "forked-domains" child;
          scenario_test "the process may end without a close" "left-open" [ "main ends" ];
        ] );
    ]
