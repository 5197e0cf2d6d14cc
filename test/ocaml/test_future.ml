(* SPDX-License-Identifier: ISC
   Weir.Future: waiting, cancelling, callbacks. *)

open Support
module Pool = Weir.Pool
module Future = Weir.Future

let plain threads = Pool.create ~threads ~init:ignore ~at_exit:ignore ()
let check_int = Alcotest.(check int)

(* The main has not turned since: the statistics and the future know all the same. *)
let poll_knows_what_never_ran () =
  let main = Weir.Main.create () and pool = plain 1 and hold = Hold.make () in
  let running = Pool.run pool (Hold.task hold) in
  Hold.until_it_runs hold;
  let told = ref 0 in
  let late = Pool.run ~main ~start_within:0.001 pool ignore in
  Future.on_settle late (fun _ -> incr told);
  until (fun () -> (Pool.stats pool).expired = 1);
  Alcotest.(check bool) "expired" true (Future.poll late = Some Expired);
  Alcotest.check_raises "await" Weir.Expired (fun () -> Future.await late);
  Alcotest.(check bool) "settled" true (Future.cancel late = `Settled);
  check_int "not told" 0 !told;
  ignore (Weir.Main.dispatch main);
  check_int "told once" 1 !told;
  Hold.let_go hold;
  Future.await running;
  Pool.close pool;
  Weir.Main.close main

let many_waiters () =
  let pool = plain 1 and hold = Hold.make () in
  let future =
    Pool.run pool (fun () ->
        Hold.task hold ();
        7)
  in
  Hold.until_it_runs hold;
  let sum = Atomic.make 0 in
  let wait () = ignore (Atomic.fetch_and_add sum (Future.await future)) in
  let threads = List.init 5 (fun _ -> Thread.create wait ()) in
  Alcotest.(check bool) "not yet" true (Future.poll future = None);
  Hold.let_go hold;
  List.iter Thread.join threads;
  check_int "all got it" 35 (Atomic.get sum);
  Alcotest.(check bool) "poll knows" true (Future.poll future = Some (Value 7));
  Pool.close pool

let cancel_queued () =
  let pool = plain 1 and hold = Hold.make () in
  let running = Pool.run pool (Hold.task hold) in
  Hold.until_it_runs hold;
  let ran = Atomic.make false and told = Atomic.make 0 in
  let queued = Pool.run pool (fun () -> Atomic.set ran true) in
  Future.on_settle queued (fun _ -> Atomic.incr told);
  Alcotest.(check bool) "taken back" true (Future.cancel queued = `Taken_back);
  Alcotest.(check bool) "canceled now" true (Future.poll queued = Some Canceled);
  check_int "told once, here" 1 (Atomic.get told);
  Alcotest.(check bool) "again" true (Future.cancel queued = `Settled);
  Alcotest.check_raises "await" Weir.Canceled (fun () -> Future.await queued);
  Hold.let_go hold;
  Future.await running;
  Pool.close ~mode:`Drain pool;
  Alcotest.(check bool) "never ran" false (Atomic.get ran);
  check_int "told once" 1 (Atomic.get told);
  Alcotest.(check bool) "after the pool" true (Future.cancel running = `Settled)

let cancel_running () =
  let pool = plain 1 and runs = Gate.make () in
  let task () =
    Gate.open_ runs;
    while not (Pool.cancel_requested ()) do
      Thread.yield ()
    done;
    raise Weir.Canceled
  in
  let future = Pool.run pool task in
  Gate.enter runs;
  Alcotest.(check bool) "runs" true (Future.cancel future = `Running);
  Alcotest.(check bool) "honoured" true (Future.outcome future = Canceled);
  Alcotest.(check bool) "here nothing is asked" false (Pool.cancel_requested ());
  let unasked = Pool.run pool (fun () -> raise Weir.Canceled) in
  (match Future.outcome unasked with
  | Raised (Weir.Canceled, _) -> ()
  | _ -> Alcotest.fail "an unasked Canceled is an exception like others");
  Pool.close pool

(* The slot of a settled task goes to the next one. *)
let cancel_stale () =
  let pool = plain 1 and hold = Hold.make () in
  let old = List.init 50 (fun _ -> Pool.run pool ignore) in
  List.iter Future.await old;
  ignore (Pool.run pool (Hold.task hold));
  Hold.until_it_runs hold;
  let fresh = List.init 60 (fun i -> Pool.run pool (fun () -> i)) in
  List.iter (fun f -> Alcotest.(check bool) "settled" true (Future.cancel f = `Settled)) old;
  Hold.let_go hold;
  List.iteri (fun i f -> check_int "untouched" i (Future.await f)) fresh;
  Pool.close pool

let cancel_against_start () =
  let pool = plain 2 and ran = Atomic.make 0 and taken = ref 0 in
  let n = 3_000 in
  for _ = 1 to n do
    let f = Pool.run pool (fun () -> Atomic.incr ran) in
    if Random.bool () then Thread.yield ();
    if Future.cancel f = `Taken_back then incr taken
  done;
  Pool.close ~mode:`Drain pool;
  check_int "ran or taken back, never both" n (Atomic.get ran + !taken)

let callbacks () =
  let pool = plain 1 and hold = Hold.make () and order = ref [] in
  let future = Pool.run pool (Hold.task hold) in
  Future.on_settle future (fun _ -> order := 1 :: !order);
  Future.on_settle future (fun _ -> order := 2 :: !order);
  Hold.let_go hold;
  Pool.close pool;
  Future.on_settle future (fun _ -> order := 3 :: !order);
  Alcotest.(check (list int)) "in order, the last at once" [ 1; 2; 3 ] (List.rev !order)

let closed_callbacks () =
  let pool = plain 1 and hold = Hold.make () and told = Atomic.make 0 in
  ignore (Pool.run pool (Hold.task hold));
  Hold.until_it_runs hold;
  let queued = List.init 20 (fun _ -> Pool.run pool ignore) in
  List.iter
    (fun f ->
      Future.on_settle f (function
        | Future.Closed -> Atomic.incr told
        | _ -> Alcotest.fail "not closed"))
    queued;
  Pool.close_async pool ignore;
  Hold.let_go hold;
  Pool.close pool;
  check_int "each told once" 20 (Atomic.get told)

(* What a call inside a callback could tell waits until the callback has returned. *)
let closed_in_turn () =
  let pool = plain 1 and other = plain 1 and hold = Hold.make () and order = Atomic.make [] in
  let note x = Weir__Promise.change order (List.cons x) in
  ignore (Pool.run pool (Hold.task hold));
  Hold.until_it_runs hold;
  let queue name =
    Future.on_settle (Pool.run pool ignore) (fun _ ->
        note name;
        Pool.resume other;
        note (name ^ " ends"))
  in
  List.iter queue [ "a"; "b" ];
  Pool.close_async pool ignore;
  Hold.let_go hold;
  Pool.close pool;
  Pool.close other;
  Alcotest.(check (list string))
    "one by one" [ "a"; "a ends"; "b"; "b ends" ] (List.rev (Atomic.get order))

let await_self () =
  let pool = plain 2 and own = ref None and known = Gate.make () in
  let task () =
    Gate.enter known;
    raises_invalid ~naming:"this task" (fun () -> Future.await (Option.get !own))
  in
  let future = Pool.run pool task in
  own := Some future;
  Gate.open_ known;
  Future.await future;
  Pool.close pool

(* Both threads wait for tasks behind them: the second one is refused. *)
let await_each_other () =
  let pool = plain 2 in
  let refused = Atomic.make 0 in
  let inner = List.init 2 (fun _ -> (Gate.make (), ref None)) in
  let task (known, future) () =
    Gate.enter known;
    match Future.await (Option.get !future) with
    | () -> ()
    | exception Invalid_argument _ -> Atomic.incr refused
  in
  let outer = List.map (fun i -> Pool.run pool (task i)) inner in
  List.iter (fun (_, future) -> future := Some (Pool.run pool ignore)) inner;
  List.iter (fun (known, _) -> Gate.open_ known) inner;
  List.iter Future.await outer;
  if Atomic.get refused > 1 then Alcotest.fail "the first one may wait";
  Pool.close pool

let await_other_pool () =
  let a = plain 1 and b = plain 1 in
  let x = Pool.run a (fun () -> 1 + Future.await (Pool.run b (fun () -> 1))) in
  check_int "through two pools" 2 (Future.await x);
  Pool.close a;
  Pool.close b

let raising_callback () =
  let pool = plain 1 and hold = Hold.make () and told = Atomic.make false in
  let future = Pool.run pool (Hold.task hold) in
  Future.on_settle future (fun _ -> failwith "expected on stderr");
  Future.on_settle future (fun _ -> Atomic.set told true);
  Hold.let_go hold;
  Pool.close pool;
  Alcotest.(check bool) "the next one is told" true (Atomic.get told)

(* Futures made of others *)

exception Own

let derived () =
  let pool = plain 2 in
  let run x = Pool.run pool (fun () -> x) in
  let fail () = Pool.run pool (fun () -> raise Own) in
  check_int "map" 42 (Future.await (Future.map (fun x -> x + 1) (run 41)));
  check_int "map of a map" 4 (Future.await (Future.map succ (Future.map succ (run 2))));
  Alcotest.check_raises "map's own" Own (fun () ->
      Future.await (Future.map (fun _ -> raise Own) (run 1)));
  Alcotest.check_raises "map of a failure" Own (fun () -> Future.await (Future.map Fun.id (fail ())));
  Alcotest.(check (pair int string)) "both" (1, "x") (Future.await (Future.both (run 1) (run "x")));
  Alcotest.(check (list int))
    "all, in order" (List.init 100 Fun.id)
    (Future.await (Future.all (List.init 100 run)));
  Alcotest.check_raises "all with a failure" Own (fun () ->
      ignore (Future.await (Future.all [ run (); fail (); run () ])));
  raises_invalid ~naming:"Weir.Future.all" (fun () -> Future.all []);
  raises_invalid ~naming:"Weir.Future.any" (fun () -> Future.any []);
  Alcotest.(check bool) "no task" true (Future.cancel (Future.map Fun.id (run 1)) = `Settled);
  Pool.close pool

(* The first failure settles it although another task still runs. *)
let first_to_settle () =
  let pool = plain 2 and hold = Hold.make () in
  let slow = Pool.run pool (Hold.task hold) in
  Hold.until_it_runs hold;
  let fast = Pool.run pool (fun () -> raise Own) in
  let all = Future.all [ slow; fast ] and any = Future.any [ slow; fast ] in
  Alcotest.check_raises "all" Own (fun () -> ignore (Future.await all));
  Alcotest.check_raises "any" Own (fun () -> Future.await any);
  Alcotest.(check bool) "the other one runs" true (Future.poll slow = None);
  let first = Future.any [ slow; Pool.run pool ignore ] in
  Future.await first;
  Hold.let_go hold;
  Future.await slow;
  Pool.close pool

let derived_on_a_main () =
  let main = Weir.Main.create () and pool = plain 1 in
  let here = Thread.id (Thread.self ()) and told = ref [] in
  let thread _ = told := Thread.id (Thread.self ()) :: !told in
  let mapped = Future.map thread (Pool.run ~main pool ignore) in
  Future.on_settle mapped thread;
  Future.await mapped;
  Alcotest.(check (list int)) "both on the main's thread" [ here; here ] !told;
  Pool.close pool;
  Weir.Main.close main

(* Else it would wait for itself for ever. *)
let derived_in_its_pool () =
  let pool = plain 1 in
  let task () = Future.await (Future.map Fun.id (Pool.run pool ignore)) in
  let outer = Pool.run pool task in
  raises_invalid ~naming:"await" (fun () -> Future.await outer);
  Pool.close pool

(* on_cancel *)

(* A call that only its stop ends. *)
let stopped_call () =
  let left = Gate.make () and stops = Atomic.make 0 in
  let stop () =
    Atomic.incr stops;
    Gate.open_ left
  in
  (left, stops, stop)

let on_cancel_stops () =
  let pool = plain 1 and runs = Gate.make () in
  let left, stops, stop = stopped_call () in
  let task () =
    Pool.on_cancel stop (fun () ->
        Gate.open_ runs;
        Gate.enter left;
        raise Weir.Canceled)
  in
  let future = Pool.run pool task in
  Gate.enter runs;
  Alcotest.(check bool) "runs" true (Future.cancel future = `Running);
  ignore (Future.cancel future);
  Alcotest.(check bool) "canceled" true (Future.outcome future = Canceled);
  check_int "stopped once" 1 (Atomic.get stops);
  Pool.close pool

(* Whoever comes later sees the request; the inner section first, then the outer one. *)
let on_cancel_comes_late () =
  let pool = plain 1 and hold = Hold.make () and order = ref [] in
  let stop name () = order := name :: !order in
  let task () =
    Hold.task hold ();
    Pool.on_cancel (stop "outer") (fun () ->
        check_int "the outer one at once" 1 (List.length !order);
        Pool.on_cancel (stop "inner") ignore)
  in
  let future = Pool.run pool task in
  Hold.until_it_runs hold;
  ignore (Future.cancel future);
  Hold.let_go hold;
  Future.await future;
  Alcotest.(check (list string)) "each once" [ "outer"; "inner" ] (List.rev !order);
  Pool.close pool

let on_cancel_nests () =
  let pool = plain 1 and runs = Gate.make () and order = ref [] in
  let left, _, stop = stopped_call () in
  let note name f () =
    order := name :: !order;
    f ()
  in
  let task () =
    Pool.on_cancel (note "outer" ignore) (fun () ->
        Pool.on_cancel (note "inner" stop) (fun () ->
            Gate.open_ runs;
            Gate.enter left);
        order := "between" :: !order)
  in
  let future = Pool.run pool task in
  Gate.enter runs;
  ignore (Future.cancel future);
  Future.await future;
  Alcotest.(check (list string)) "in turn" [ "inner"; "outer"; "between" ] (List.rev !order);
  Pool.close pool

let on_cancel_elsewhere () =
  let never () = Alcotest.fail "stopped" in
  check_int "just f" 1 (Pool.on_cancel never (fun () -> 1));
  let pool = plain 1 in
  let future = Pool.run pool (fun () -> Pool.on_cancel never (fun () -> 2)) in
  check_int "no cancel" 2 (Future.await future);
  Alcotest.(check bool) "settled" true (Future.cancel future = `Settled);
  Pool.close pool

(* What f used is freed when on_cancel has returned: no stop may still use it. *)
let on_cancel_races () =
  let pool = plain 2 and used_late = Atomic.make 0 in
  for _ = 1 to 2_000 do
    let is_there = Atomic.make true in
    let stop () = if not (Atomic.get is_there) then Atomic.incr used_late in
    let task () =
      Pool.on_cancel stop Thread.yield;
      Atomic.set is_there false
    in
    let future = Pool.run pool task in
    ignore (Future.cancel future);
    ignore (Future.outcome future)
  done;
  check_int "never" 0 (Atomic.get used_late);
  Pool.close pool

let outside () =
  let future, settle = Future.outside () in
  let told = ref [] in
  Future.on_settle future (fun outcome -> told := outcome :: !told);
  Alcotest.(check bool) "pending" true (Future.poll future = None);
  Alcotest.(check bool) "no task to cancel" true (Future.cancel future = `Settled);
  let waiter = Thread.create (fun () -> check_int "awaited" 7 (Future.await future)) () in
  settle (Value 7);
  settle Closed;
  Thread.join waiter;
  Alcotest.(check bool) "told once" true (!told = [ Value 7 ]);
  check_int "kept" 7 (Future.await future)

let outside_with_others () =
  let a, settle_a = Future.outside () and b, settle_b = Future.outside () in
  let sum = Future.map (fun (x, y) -> x + y) (Future.both a b) and first = Future.any [ a; b ] in
  settle_b (Value 2);
  check_int "any" 2 (Future.await first);
  settle_a (Raised (Exit, Printexc.get_callstack 0));
  Alcotest.check_raises "both" Exit (fun () -> ignore (Future.await sum))

let () =
  main "future"
    [
      ( "futures made of others",
        [
          test "map, both and all have values or the failure" derived;
          test "the first to settle settles any, and all by a failure" first_to_settle;
          test "they settle on the main's thread" derived_on_a_main;
          test "a task that awaits one of its own full pool is refused" derived_in_its_pool;
        ] );
      ( "futures without a pool",
        [
          test "the first who settles one wins, and its waiters wake" outside;
          test "they compose with others" outside_with_others;
        ] );
      ( "on_cancel",
        [
          test "a cancel stops the call, once" on_cancel_stops;
          test "a section that begins after the cancel is stopped" on_cancel_comes_late;
          test "the inner section is stopped first" on_cancel_nests;
          test "without a cancel, or a task, it does nothing" on_cancel_elsewhere;
          test "it does not return while the stop runs" on_cancel_races;
        ] );
      ( "waiting",
        [
          test "any number of threads may await" many_waiters;
          test "a future knows what the statistics know" poll_knows_what_never_ran;
          test "a task cannot await itself" await_self;
          test "the last thread of a pool is not lost to a wait" await_each_other;
          test "tasks await tasks of another pool" await_other_pool;
        ] );
      ( "cancelling",
        [
          test "a queued task is taken back and told once" cancel_queued;
          test "a running task is asked to stop" cancel_running;
          test "an old future's cancel meets no other task" cancel_stale;
          test "a task runs or is taken back, never both" cancel_against_start;
        ] );
      ( "callbacks",
        [
          test "callbacks run in order, late ones at once" callbacks;
          test "tasks closed before they started are told once" closed_callbacks;
          test "and one by one" closed_in_turn;
          test "a callback that raises does not stop the next" raising_callback;
        ] );
    ]
