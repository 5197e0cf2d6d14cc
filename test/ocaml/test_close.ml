(* SPDX-License-Identifier: ISC
   Weir.Pool: every way to close. *)

open Support
module Pool = Weir.Pool
module Future = Weir.Future

exception Own

let plain threads = Pool.create ~threads ~init:ignore ~at_exit:ignore ()
let check_int = Alcotest.(check int)

let close_rejects () =
  let pool = plain 1 and hold = Hold.make () and ended = Atomic.make false in
  let running =
    Pool.run pool (fun () ->
        Hold.task hold ();
        Atomic.set ended true)
  in
  Hold.until_it_runs hold;
  let queued = Pool.run pool ignore in
  Pool.close_async pool ignore;
  Alcotest.(check bool) "queued ones are closed now" true (Future.outcome queued = Closed);
  (match Pool.run pool ignore with
  | _ -> Alcotest.fail "ran after close"
  | exception Weir.Closed -> ());
  Hold.let_go hold;
  Pool.close pool;
  Alcotest.(check bool) "close waited" true (Atomic.get ended);
  Future.await running

(* The running task ends only when somebody has heard that the queued one will not run. *)
let close_tells_at_once () =
  let pool = plain 1 and hold = Hold.make () in
  ignore (Pool.run pool (Hold.task hold));
  Hold.until_it_runs hold;
  let queued = Pool.run pool ignore in
  let hear () =
    match Future.await queued with () -> () | exception Weir.Closed -> Hold.let_go hold
  in
  let thread = Thread.create hear () in
  Pool.close pool;
  Thread.join thread

let closed_are_told_in_order () =
  let pool = plain 1 and hold = Hold.make () and told = ref [] in
  let running = Pool.run pool (Hold.task hold) in
  Hold.until_it_runs hold;
  let queue n = Future.on_settle (Pool.run pool ignore) (fun _ -> told := n :: !told) in
  List.iter queue [ 1; 2; 3 ];
  Pool.close_async pool ignore;
  Hold.let_go hold;
  Pool.close pool;
  Future.await running;
  Alcotest.(check (list int)) "each once" [ 1; 2; 3 ] (List.rev !told)

let close_drains () =
  let pool = plain 2 and ran = Atomic.make 0 in
  for _ = 1 to 500 do
    ignore (Pool.run pool (fun () -> Atomic.incr ran))
  done;
  Pool.close ~mode:`Drain pool;
  check_int "all ran" 500 (Atomic.get ran)

let close_in_pairs () =
  let ways =
    [
      (fun mode pool -> Pool.close ~mode pool);
      (fun mode pool -> Pool.close_async ~mode pool ignore);
      (fun mode pool -> ignore (Pool.close_within ~mode pool 10.));
    ]
  in
  let closes = List.concat_map (fun way -> [ way `Reject; way `Drain ]) ways in
  let pair first second =
    let pool = plain 2 in
    let task = Pool.run pool ignore in
    first pool;
    second pool;
    Pool.close pool;
    match Future.outcome task with
    | Value () | Closed -> ()
    | _ -> Alcotest.fail "neither ran nor closed"
  in
  List.iter (fun first -> List.iter (pair first) closes) closes

let close_within_gives_up () =
  let pool = plain 1 and hold = Hold.make () in
  let running = Pool.run pool (Hold.task hold) in
  Hold.until_it_runs hold;
  let queued = Pool.run pool ignore in
  Alcotest.(check bool) "not in time" false (Pool.close_within ~mode:`Drain pool 0.001);
  Alcotest.(check bool) "the queue was given up" true (Future.outcome queued = Closed);
  Hold.let_go hold;
  Future.await running;
  Alcotest.(check bool) "in time" true (Pool.close_within pool 10.)

let close_from_a_worker () =
  let pool = plain 1 and closed = Gate.make () in
  let task () =
    raises_invalid ~naming:"close_async" (fun () -> Pool.close pool);
    Pool.close_async pool (fun () -> Gate.open_ closed)
  in
  Future.await (Pool.run pool task);
  Gate.enter closed

let raising_at_exit () =
  let calls = Atomic.make 0 in
  let at_exit () =
    Atomic.incr calls;
    raise Own
  in
  let pool = Pool.create ~threads:2 ~init:ignore ~at_exit () in
  Pool.close pool;
  check_int "once each" 2 (Atomic.get calls)

let opens_beside_a_main () =
  let gate = Gate.make () and result = Gate.make () and ok = Atomic.make false in
  let pool = ref None and at_exits = Atomic.make 0 in
  let main = Weir.Main.create () in
  let at_exit () = Atomic.incr at_exits in
  let init () = Gate.enter gate in
  Pool.create_async ~main ~threads:2 ~init ~at_exit (fun r ->
      (match r with Ok p -> pool := Some p | Error _ -> ());
      Atomic.set ok (Result.is_ok r);
      Gate.open_ result);
  Gate.open_ gate;
  while !pool = None do
    ignore (Weir.Main.wait main)
  done;
  Alcotest.(check bool) "opened" true (Atomic.get ok);
  Pool.close (Option.get !pool);
  check_int "at_exits" 2 (Atomic.get at_exits);
  Weir.Main.close main

let () =
  main "close"
    [
      ( "closing",
        [
          test "a pool opens beside a main without blocking it" opens_beside_a_main;
          test "close settles queued tasks and waits for running ones" close_rejects;
          test "a close that waits tells who awaits a queued task" close_tells_at_once;
          test "one thread tells all that a close settled, in order" closed_are_told_in_order;
          test "drain runs queued tasks first" close_drains;
          test "every pair of closes ends" close_in_pairs;
          test "close_within gives the queue up when the time has passed" close_within_gives_up;
          test "a worker cannot wait for its own end" close_from_a_worker;
          test "an at_exit that raises runs once and close returns" raising_at_exit;
        ] );
    ]
