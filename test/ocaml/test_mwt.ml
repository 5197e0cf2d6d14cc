(* SPDX-License-Identifier: ISC
   Mwt: what its documentation says. *)

open Lwt.Infix
open Support
open Lwt_support

exception Own

let check_int = Alcotest.(check int)
let closed_run = is_invalid ~naming:"Mwt.run"

let makes_after_all_inits () =
  let inits = Atomic.make 0 and exits = Atomic.make 0 in
  let init () =
    Thread.yield ();
    Atomic.incr inits
  in
  mwt ~init ~at_exit:(fun () -> Atomic.incr exits) 5 >>= fun pool ->
  check_int "inits" 5 (Atomic.get inits);
  Mwt.close pool >|= fun () -> check_int "at_exits when close resolves" 5 (Atomic.get exits)

let refuses_bad_counts () =
  List.iter
    (fun n -> raises_invalid ~naming:"Mwt.make" (fun () -> mwt n))
    [ 0; -1; min_int; max_int ];
  Lwt.return_unit

let state_is_the_threads () =
  let self () = Thread.id (Thread.self ()) in
  Mwt.make ~init:self ~at_exit:(fun id -> assert (id = self ())) 3 >>= fun pool ->
  let one _ = Mwt.run pool (fun id -> id = self ()) in
  Lwt_list.map_p one (List.init 100 Fun.id) >>= fun all ->
  Alcotest.(check bool) "always" true (List.for_all Fun.id all);
  Mwt.close pool

let waits_in_line () =
  mwt 1 >>= fun pool ->
  let hold = Hold.make () and order = ref [] in
  let first = Mwt.run pool (Hold.task hold) in
  let one i = Mwt.run pool (fun () -> order := i :: !order) in
  let rest = List.init 50 one in
  Hold.let_go hold;
  Lwt.join (first :: rest) >>= fun () ->
  Alcotest.(check (list int)) "in order" (List.init 50 Fun.id) (List.rev !order);
  Mwt.close pool

let exceptions_keep_identity () =
  mwt 1 >>= fun pool ->
  let exn = Failure "mine" in
  check_rejected "run" (( == ) exn) (Mwt.run pool (fun () -> raise exn)) >>= fun () ->
  Mwt.run pool (fun () -> 1) >>= fun n ->
  check_int "the thread lives on" 1 n;
  Mwt.close pool

let init_rejects () =
  let exn = Failure "init" in
  check_rejected "make" (( == ) exn) (mwt ~init:(fun () -> raise exn) 2)

let closed_rejects () =
  mwt 1 >>= fun pool ->
  Mwt.close pool >>= fun () -> check_rejected "run" closed_run (Mwt.run pool ignore)

(* An Invalid_argument or Closed of the task's own is no sign of a closed pool. *)
let own_exceptions_pass () =
  mwt 1 >>= fun pool ->
  check_rejected "Closed" (( = ) Weir.Closed) (Mwt.run pool (fun () -> raise Weir.Closed))
  >>= fun () ->
  check_rejected "Canceled" (( = ) Lwt.Canceled) (Mwt.run pool (fun () -> raise Lwt.Canceled))
  >>= fun () -> Mwt.close pool

let cancel_takes_a_waiting_call_back () =
  mwt 1 >>= fun pool ->
  let hold = Hold.make () and ran = Atomic.make false in
  let running = Mwt.run pool (Hold.task hold) in
  let waiting = Mwt.run pool (fun () -> Atomic.set ran true) in
  Lwt.cancel waiting;
  check_rejected "waiting" (( = ) Lwt.Canceled) waiting >>= fun () ->
  Hold.let_go hold;
  running >>= fun () ->
  Mwt.close pool >|= fun () -> Alcotest.(check bool) "never ran" false (Atomic.get ran)

let cancel_leaves_a_running_call () =
  mwt 1 >>= fun pool ->
  let hold = Hold.make () in
  let running =
    Mwt.run pool (fun () ->
        Hold.task hold ();
        8)
  in
  wait_here hold;
  Lwt.cancel running;
  Alcotest.(check bool) "still pending" true (Lwt.state running = Lwt.Sleep);
  Hold.let_go hold;
  running >>= fun n ->
  check_int "its value" 8 n;
  Mwt.close pool

let run_in_main_waits () =
  mwt 2 >>= fun pool ->
  let main = Thread.id (Thread.self ()) in
  let call () =
    Mwt.run_in_main (fun () ->
        let thread = Thread.id (Thread.self ()) in
        Lwt_unix.sleep 0.001 >>= fun () ->
        Lwt.pause () >|= fun () -> thread)
  in
  Mwt.run pool call >>= fun thread ->
  check_int "on the loop's thread" main thread;
  let both f = try f () with Own -> -1 in
  let raise_or_reject () =
    both (fun () -> Mwt.run_in_main (fun () -> raise Own))
    + both (fun () -> Mwt.run_in_main (fun () -> Lwt.pause () >>= fun () -> Lwt.fail Own))
  in
  Mwt.run pool raise_or_reject >>= fun n ->
  check_int "raised and rejected" (-2) n;
  Mwt.close pool

let run_in_main_runs_tasks () =
  mwt 2 >>= fun pool ->
  let outer () = 1 + Mwt.run_in_main (fun () -> Mwt.run pool (fun () -> 2)) in
  Mwt.run pool outer >>= fun n ->
  check_int "a task from a task" 3 n;
  Mwt.close pool

let many () =
  mwt 4 >>= fun pool ->
  let sum = ref 0 in
  let one i = Mwt.run pool (fun () -> i) >|= fun i -> sum := !sum + i in
  Lwt_list.iter_p one (List.init 10_000 Fun.id) >>= fun () ->
  check_int "each once" (9_999 * 10_000 / 2) !sum;
  Mwt.close pool

(* Fairness: while this thread always wants the runtime, a pool's thread runs no more tasks
   in a row than it takes to hand the runtime over. To whom it goes is the system's affair:
   beside other work that may be another thread of the pool, many times. *)

let compute_1_ms () =
  let stop = Unix.gettimeofday () +. 0.001 in
  while Unix.gettimeofday () < stop do
    ignore (Sys.opaque_identity (ref 0))
  done

let most_in_a_row work threads n =
  mwt threads >>= fun pool ->
  let ran = ref 0 and most = ref 0 and row = ref 0 and last = ref 0 in
  let turn tasks =
    let self = Thread.id (Thread.self ()) in
    row := if !last = self then !row + tasks else tasks;
    last := self;
    most := max !most !row
  in
  let task () =
    work ();
    incr ran;
    turn 1
  in
  let tasks = List.init n (fun _ -> Mwt.run pool task) in
  while !ran < n do
    turn 0;
    Thread.yield ()
  done;
  Lwt.join tasks >>= fun () -> Mwt.close pool >|= fun () -> !most

(* A thread may have the runtime again at once where no other waits for it at that moment.
   Without a yield it is thousands of empty tasks, or the 50 of a tick's 50 ms. *)
let fair work ~threads ~n ~each () =
  most_in_a_row work threads n >|= fun most ->
  let bound = each * 8 in
  if most > bound then Alcotest.failf "%d tasks ran in a row, not %d" most bound

let () =
  main "mwt"
    [
      ( "documented",
        [
          test "make resolves after every init, close after every at_exit" makes_after_all_inits;
          test "make refuses bad counts" refuses_bad_counts;
          test "make is rejected with the init's exception" init_rejects;
          test "a task gets the state of its thread" state_is_the_threads;
          test "calls wait in line" waits_in_line;
          test "an exception keeps its identity" exceptions_keep_identity;
          test "a closed pool rejects with Invalid_argument" closed_rejects;
          test "a task's own exceptions pass as they are" own_exceptions_pass;
          test "cancel takes a waiting call back" cancel_takes_a_waiting_call_back;
          test "cancel leaves a running call alone" cancel_leaves_a_running_call;
          test "run_in_main waits for the promise" run_in_main_waits;
          test "run_in_main may run other tasks" run_in_main_runs_tasks;
          test "10,000 calls" many;
        ] );
      ( "the runtime is handed over",
        [
          test "after 64 tasks of 1 thread" (fair ignore ~threads:1 ~n:5_000 ~each:64);
          test "after 64 of 1 thread of 4" (fair ignore ~threads:4 ~n:10_000 ~each:64);
          test "after a task that computes for 1 ms" (fair compute_1_ms ~threads:1 ~n:50 ~each:1);
          test "after one of 1 thread of 4" (fair compute_1_ms ~threads:4 ~n:100 ~each:1);
        ] );
    ]
