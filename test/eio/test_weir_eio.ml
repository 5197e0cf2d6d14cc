(* SPDX-License-Identifier: ISC
   Weir_eio: pools, and the cancelling of fibers. *)

open Eio.Std
open Support

exception Own

let check_int = Alcotest.(check int)
let check_bool = Alcotest.(check bool)

let test name f =
  Alcotest.test_case name `Quick (watched (fun () -> Eio_main.run (fun _ -> f ())))

let with_state ~init ~at_exit ?queue_limit threads f =
  Switch.run (fun sw -> f (Weir_eio.create ~sw ?queue_limit ~threads ~init ~at_exit ()))

let with_pool ?queue_limit threads f =
  with_state ~init:ignore ~at_exit:ignore ?queue_limit threads f

let values_and_exceptions () =
  with_state ~init:(fun () -> 40) ~at_exit:ignore 2 (fun pool ->
      check_int "its value" 42 (Weir_eio.run pool (fun n -> n + 2));
      Alcotest.check_raises "its exception" Own (fun () -> Weir_eio.run pool (fun _ -> raise Own));
      let all = Fiber.List.map (fun i -> Weir_eio.run pool (fun n -> n + i)) [ 1; 2; 3 ] in
      Alcotest.(check (list int)) "fibers at once" [ 41; 42; 43 ] all)

let the_loop_goes_on () =
  with_pool 1 (fun pool ->
      let hold = Hold.make () and turns = ref 0 in
      let other () =
        for _ = 1 to 10 do
          incr turns;
          Fiber.yield ()
        done;
        Hold.let_go hold
      in
      Fiber.both (fun () -> Weir_eio.run pool (Hold.task hold)) other;
      check_int "turns beside the task" 10 !turns)

let the_switch_closes () =
  let exits = Atomic.make 0 and seen = ref None in
  with_state ~init:ignore ~at_exit:(fun () -> Atomic.incr exits) 3 (fun pool ->
      seen := Some pool;
      Weir_eio.run pool ignore);
  check_int "at_exits" 3 (Atomic.get exits);
  Alcotest.check_raises "closed" Weir.Closed (fun () -> Weir_eio.run (Option.get !seen) ignore)

let init_raises () =
  Alcotest.check_raises "init" Own (fun () ->
      with_state ~init:(fun () -> raise Own) ~at_exit:ignore 2 (fun _ -> Alcotest.fail "opened"))

let cancel_queued () =
  with_pool 1 (fun pool ->
      let hold = Hold.make () and ran = Atomic.make false in
      Switch.run (fun sw ->
          let first = Weir_eio.run_promise ~sw pool (Hold.task hold) in
          Hold.until_it_runs hold;
          let queued () = Weir_eio.run pool (fun () -> Atomic.set ran true) in
          Fiber.first queued Fiber.yield;
          check_int "taken back" 1 (Weir.Pool.stats pool).cancelled;
          Hold.let_go hold;
          Promise.await_exn first);
      Weir_eio.run pool ignore;
      check_bool "never ran" false (Atomic.get ran))

let cancel_running () =
  with_pool 1 (fun pool ->
      let runs = Gate.make () and left = Gate.make () in
      let work () =
        Weir.Pool.on_cancel
          (fun () -> Gate.open_ left)
          (fun () ->
            Gate.open_ runs;
            Gate.enter left)
      in
      let fails () =
        Fiber.yield ();
        Gate.enter runs;
        raise Own
      in
      Alcotest.check_raises "the other fiber's" Own (fun () ->
          Fiber.both (fun () -> Weir_eio.run pool work) fails);
      check_int "the thread is free" 1 (Weir_eio.run pool (fun () -> 1)))

let limits () =
  with_pool ~queue_limit:1 1 (fun pool ->
      let hold = Hold.make () in
      Switch.run (fun sw ->
          let first = Weir_eio.run_promise ~sw pool (Hold.task hold) in
          Hold.until_it_runs hold;
          Alcotest.check_raises "expired" Weir.Expired (fun () ->
              Weir_eio.run ~start_within:0.001 pool ignore);
          let second = Weir_eio.run_promise ~sw pool ignore in
          Alcotest.check_raises "full" Weir.Full (fun () -> Weir_eio.run pool ignore);
          Hold.let_go hold;
          Promise.await_exn first;
          Promise.await_exn second))

let many () =
  with_pool 3 (fun pool ->
      let one i = Weir_eio.run pool (fun () -> i) in
      let sum = List.fold_left ( + ) 0 (Fiber.List.map one (List.init 10_000 Fun.id)) in
      check_int "each once" (9_999 * 10_000 / 2) sum)

let () =
  main "weir_eio"
    [
      ( "pools",
        [
          test "values and exceptions" values_and_exceptions;
          test "other fibers go on meanwhile" the_loop_goes_on;
          test "the switch closes the pool" the_switch_closes;
          test "an init that raises" init_raises;
          test "a full queue and a start deadline" limits;
          test "10,000 runs" many;
        ] );
      ( "cancelling",
        [
          test "a cancelled fiber takes its queued task back" cancel_queued;
          test "and stops its running one" cancel_running;
        ] );
    ]
