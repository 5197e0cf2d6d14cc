(* SPDX-License-Identifier: ISC
   Weir_lwt: promises, cancellation, timeouts, limits, closing, engines. *)

open Lwt.Infix
open Support
open Lwt_support

exception Own

let check_int = Alcotest.(check int)
let check_bool = Alcotest.(check bool)
let is exn other = exn == other

(* A pool of one thread that is held; [let_go] then. *)
let held ?queue_limit ?when_full () =
  weir ?queue_limit ?when_full 1 >>= fun pool ->
  let hold = Hold.make () in
  let running = Weir_lwt.run pool (Hold.task hold) in
  wait_here hold;
  Lwt.return (pool, hold, running)

let values_and_exceptions () =
  Printexc.record_backtrace true;
  weir 2 >>= fun pool ->
  Weir_lwt.run pool (fun () -> "x") >>= fun x ->
  Alcotest.(check string) "value" "x" x;
  let exn = Failure "own" in
  let trace = ref "" in
  Lwt.catch
    (fun () -> Weir_lwt.run pool (fun () -> raise exn))
    (fun e ->
      trace := Printexc.get_backtrace ();
      check_bool "identity" true (e == exn);
      Lwt.return_unit)
  >>= fun () ->
  check_backtrace "the first handler sees the backtrace" !trace "test_weir_lwt.ml";
  Weir_lwt.close pool

let cancel_queued () =
  held () >>= fun (pool, hold, running) ->
  let ran = Atomic.make false in
  let queued = Weir_lwt.run pool (fun () -> Atomic.set ran true) in
  Lwt.cancel queued;
  check_rejected "queued" (is Lwt.Canceled) queued >>= fun () ->
  check_int "it left the queue" 0 (Weir_lwt.stats pool).queued;
  Hold.let_go hold;
  running >>= fun () ->
  Weir_lwt.close ~mode:`Drain pool >|= fun () -> check_bool "ran" false (Atomic.get ran)

let cancel_running () =
  held () >>= fun (pool, hold, running) ->
  Lwt.cancel running;
  check_rejected "at once" (is Lwt.Canceled) running >>= fun () ->
  check_int "its thread is busy" 1 (Weir_lwt.stats pool).running;
  Hold.let_go hold;
  Weir_lwt.close pool >|= fun () -> check_int "it went on" 1 (Weir_lwt.stats pool).ok

let timeout_queued () =
  held () >>= fun (pool, hold, running) ->
  let queued = Weir_lwt.run ~timeout:0.001 pool ignore in
  check_rejected "queued" (is Weir_lwt.Timeout) queued >>= fun () ->
  check_int "taken back" 0 (Weir_lwt.stats pool).queued;
  Hold.let_go hold;
  running >>= fun () -> Weir_lwt.close pool

let timeout_running () =
  weir 1 >>= fun pool ->
  let hold = Hold.make () in
  let running = Weir_lwt.run ~timeout:0.001 pool (Hold.task hold) in
  wait_here hold (* the loop does not turn before it runs *);
  check_rejected "running" (is Weir_lwt.Timeout) running >>= fun () ->
  check_int "busy" 1 (Weir_lwt.stats pool).running;
  Hold.let_go hold;
  Weir_lwt.run ~timeout:20. pool (fun () -> 3) >>= fun n ->
  check_int "in time" 3 n;
  raises_invalid ~naming:"timeout" (fun () -> Weir_lwt.run ~timeout:(-1.) pool ignore);
  raises_invalid ~naming:"timeout" (fun () -> Weir_lwt.run ~timeout:nan pool ignore);
  Weir_lwt.close pool

(* Ended, not delivered, and the time has passed: when the loop turns it finds both. *)
let ended_at_the_limit () =
  weir 1 >>= fun pool ->
  let at_the_limit = Weir_lwt.run ~timeout:0.001 pool (fun () -> 8) in
  until (fun () -> (Weir_lwt.stats pool).ok = 1);
  Unix.sleepf 0.01;
  at_the_limit >>= fun n ->
  check_int "its value" 8 n;
  check_int "not counted" 0 (Weir_lwt.stats pool).timed_out;
  Weir_lwt.close pool

(* [end_early] ends the promise of a task that then fails. *)
let told_late ?timeout ?label ~timed_out end_early =
  let told = ref [] and before = !Weir.on_unhandled in
  (Weir.on_unhandled := fun u -> told := u :: !told);
  weir ~name:"late" 1 >>= fun pool ->
  let hold = Hold.make () and exn = Failure "late" in
  let task () =
    Hold.task hold ();
    raise exn
  in
  let promise = Weir_lwt.run ?timeout ?label pool task in
  wait_here hold;
  end_early promise;
  rejection promise >>= fun _ ->
  check_int "counts as running" 1 (Weir_lwt.stats pool).running;
  check_int "timed out" timed_out (Weir_lwt.stats pool).timed_out;
  Hold.let_go hold;
  Weir_lwt.run pool ignore >>= fun () ->
  Weir_lwt.close pool >|= fun () ->
  Weir.on_unhandled := before;
  check_int "failed" 1 (Weir_lwt.stats pool).failed;
  match !told with
  | [ { pool = "late"; from = `Task; exn = other; label = given; _ } ] ->
    check_bool "as it is" true (other == exn);
    Alcotest.(check (option string)) "by its label" label given
  | told -> Alcotest.failf "told %d times" (List.length told)

let cancel_in_a_call () =
  weir 1 >>= fun pool ->
  let begun, begin_ = Lwt.wait () and answer, wake = Lwt.wait () in
  let got = ref 0 in
  let call () = Weir_lwt.run_in_main (fun () -> Lwt.wakeup begin_ (); answer) in
  let running = Weir_lwt.run pool (fun () -> got := call ()) in
  begun >>= fun () ->
  Lwt.cancel running;
  check_rejected "at once" (is Lwt.Canceled) running >>= fun () ->
  check_int "it goes on" 1 (Weir_lwt.stats pool).running;
  Lwt.wakeup wake 7;
  Weir_lwt.close pool >|= fun () -> check_int "its answer" 7 !got

let fails_after_timeout () = told_late ~timeout:0.001 ~label:"import" ~timed_out:1 ignore
let fails_after_cancel () = told_late ~timed_out:0 Lwt.cancel

let start_deadline () =
  held () >>= fun (pool, hold, running) ->
  let late = Weir_lwt.run ~start_within:0.001 pool ignore in
  check_rejected "late" (is Weir.Expired) late >>= fun () ->
  raises_invalid ~naming:"start_within" (fun () -> Weir_lwt.run ~start_within:0. pool ignore);
  Hold.let_go hold;
  running >>= fun () -> Weir_lwt.close pool

let full_rejects () =
  held ~queue_limit:1 () >>= fun (pool, hold, running) ->
  let queued = Weir_lwt.run pool ignore in
  check_rejected "the second" (is Weir_lwt.Full) (Weir_lwt.run pool ignore) >>= fun () ->
  Hold.let_go hold;
  Lwt.join [ running; queued ] >>= fun () -> Weir_lwt.close pool

let full_waits () =
  held ~queue_limit:1 ~when_full:`Wait () >>= fun (pool, hold, running) ->
  let order = ref [] in
  let one i = Weir_lwt.run pool (fun () -> order := i :: !order) in
  let all = List.init 5 one in
  check_bool "pending" true (List.for_all (fun p -> Lwt.state p = Lwt.Sleep) all);
  check_int "queued, above the limit" 5 (Weir_lwt.stats pool).queued;
  let closed = Weir_lwt.close ~mode:`Drain pool in
  Hold.let_go hold;
  Lwt.join (running :: all) >>= fun () ->
  Alcotest.(check (list int)) "in order" [ 0; 1; 2; 3; 4 ] (List.rev !order);
  closed

let close_rejects () =
  held () >>= fun (pool, hold, running) ->
  let queued = Weir_lwt.run pool ignore in
  let closed = Weir_lwt.close pool in
  check_rejected "queued, at once" (is Weir_lwt.Closed) queued >>= fun () ->
  check_rejected "new" (is Weir.Closed) (Weir_lwt.run pool ignore) >>= fun () ->
  check_bool "close waits" true (Lwt.state closed = Lwt.Sleep);
  Hold.let_go hold;
  running >>= fun () -> closed

let close_drains () =
  held () >>= fun (pool, hold, running) ->
  let queued = List.init 10 (fun i -> Weir_lwt.run pool (fun () -> i)) in
  let closed = Weir_lwt.close ~mode:`Drain pool in
  Hold.let_go hold;
  running >>= fun () ->
  Lwt.all queued >>= fun all ->
  check_int "all ran" 45 (List.fold_left ( + ) 0 all);
  closed

let reject_after_drain () =
  held () >>= fun (pool, hold, running) ->
  let queued = Weir_lwt.run pool ignore in
  let drained = Weir_lwt.close ~mode:`Drain pool in
  Weir_lwt.close_async pool;
  check_rejected "given up" (is Weir_lwt.Closed) queued >>= fun () ->
  Hold.let_go hold;
  running >>= fun () -> drained

let priorities () =
  held () >>= fun (pool, hold, running) ->
  let order = ref [] in
  let one priority = Weir_lwt.run ~priority pool (fun () -> order := priority :: !order) in
  let all = List.map one [ Weir.Low; Normal; High ] in
  Hold.let_go hold;
  Lwt.join (running :: all) >>= fun () ->
  check_bool "highest first" true (List.rev !order = [ Weir.High; Normal; Low ]);
  Weir_lwt.close pool

let bad_options () =
  let create ?queue_limit ?tick_ms ?max_running threads () =
    Weir_lwt.create ?queue_limit ?tick_ms ?max_running ~threads ~init:ignore ~at_exit:ignore ()
  in
  let refused naming f = raises_invalid ~naming f in
  List.iter (fun n -> refused "Weir_lwt.create: threads" (create n)) [ 0; -3; max_int ];
  refused "queue_limit" (create ~queue_limit:0 1);
  refused "tick_ms" (create ~tick_ms:0 1);
  refused "max_running" (create ~max_running:(fun _ -> Some (-1)) 1);
  Lwt.return_unit

let wrong_thread () =
  weir 1 >>= fun pool ->
  let task () =
    raises_invalid ~naming:"Weir_lwt.run" (fun () -> Weir_lwt.run pool ignore);
    raises_invalid ~naming:"run_in_main" (fun () -> Weir_lwt.close pool);
    raises_invalid ~naming:"Weir_lwt.close_async" (fun () -> Weir_lwt.close_async pool);
    raises_invalid ~naming:"Weir_lwt.create" (fun () -> weir 1);
    raises_invalid ~naming:"Weir_lwt.main" Weir_lwt.main;
    (Weir_lwt.stats pool).running
  in
  Weir_lwt.run pool task >>= fun n ->
  check_int "stats from any thread" 1 n;
  raises_invalid ~naming:"Weir_lwt.run_in_main" (fun () -> Weir_lwt.run_in_main Lwt.return);
  Weir_lwt.close pool

let calls_from_any_thread () =
  let promise, resolver = Lwt.wait () in
  let call () =
    let n = Weir_lwt.run_in_main (fun () -> Lwt.pause () >|= fun () -> 4) in
    Weir_lwt.run_in_main (fun () -> Lwt.return (Lwt.wakeup_later resolver n))
  in
  let thread = Thread.create call () in
  promise >>= fun n ->
  Lwt.pause () >|= fun () ->
  check_int "from a thread of no pool" 4 n;
  Thread.join thread

let pool_below () =
  weir ~name:"own" 2 >>= fun pool ->
  let below = Weir_lwt.pool pool in
  Alcotest.(check string) "name" "own" (Weir.Pool.name below);
  let promise, resolver = Lwt.wait () in
  let future = Weir.Pool.run ~main:(Weir_lwt.main ()) below (fun () -> 1) in
  Weir.Future.on_settle future (fun outcome ->
      Lwt.wakeup_later resolver (Weir.Future.value outcome));
  promise >>= fun n ->
  check_int "a future told on the loop" 1 n;
  Weir_lwt.close pool

(* An exception of a callback goes where Lwt's go. *)
let raising_callback () =
  weir 1 >>= fun pool ->
  let caught, resolver = Lwt.wait () in
  let before = !Lwt.async_exception_hook in
  Lwt.async_exception_hook := Lwt.wakeup_later resolver;
  let future = Weir.Pool.run ~main:(Weir_lwt.main ()) (Weir_lwt.pool pool) ignore in
  Weir.Future.on_settle future (fun _ -> raise Own);
  caught >>= fun exn ->
  Lwt.async_exception_hook := before;
  check_bool "caught" true (exn == Own);
  Weir_lwt.close pool

let engine_changes () =
  weir 1 >>= fun pool ->
  let use () =
    Lwt_engine.set (new Lwt_engine.select);
    Weir_lwt.run pool (fun () -> 1) >>= fun one ->
    Weir_lwt.run pool (fun () -> Weir_lwt.run_in_main (fun () -> Lwt.return one))
  in
  use () >>= fun a ->
  use () >>= fun b ->
  check_int "both" 2 (a + b);
  Weir_lwt.close pool

let storm () =
  weir 3 >>= fun pool ->
  let settled = ref 0 in
  let count promise =
    Lwt.try_bind
      (fun () -> promise)
      (fun () -> Lwt.return (incr settled))
      (fun _ -> Lwt.return (incr settled))
  in
  let n = 3_000 in
  let one i =
    let promise = Weir_lwt.run pool (fun () -> if i mod 7 = 0 then raise Own) in
    if i mod 3 = 0 then Lwt.cancel promise;
    count promise
  in
  Lwt_list.iter_p one (List.init n Fun.id) >>= fun () ->
  check_int "each settled once" n !settled;
  Weir_lwt.close ~mode:`Drain pool >|= fun () ->
  let s = Weir_lwt.stats pool in
  check_int "and in the counters" n (s.ok + s.failed + s.cancelled)

(* Shorter ways *)

let maps () =
  Weir_lwt.with_pool
    (Weir_lwt.create ~threads:2 ~init:(fun () -> 10) ~at_exit:ignore ())
    (fun pool ->
      Weir_lwt.map_p pool ( + ) [ 1; 2; 3 ] >>= fun sums ->
      Alcotest.(check (list int)) "in order" [ 11; 12; 13 ] sums;
      let ran = Atomic.make 0 and failed = Atomic.make false in
      let fail _ x =
        if x = 1 then raise Own;
        while x = 2 && not (Atomic.get failed) do
          Thread.yield ()
        done;
        Atomic.incr ran
      in
      let rec tell () =
        Atomic.set failed ((Weir_lwt.stats pool).failed > 0);
        if Atomic.get failed then Lwt.return_unit else Lwt.pause () >>= tell
      in
      Lwt.async tell;
      check_rejected "one failed" (( = ) Own) (Weir_lwt.map_p pool fail [ 0; 1; 2 ]) >|= fun () ->
      check_int "the others have run" 2 (Atomic.get ran))

let with_pool_closes () =
  let exits = Atomic.make 0 and seen = ref None in
  let use f = Weir_lwt.with_pool (weir ~at_exit:(fun () -> Atomic.incr exits) 1) f in
  use (fun pool ->
      seen := Some pool;
      Weir_lwt.run pool (fun () -> 4))
  >>= fun n ->
  check_int "its value" 4 n;
  check_int "closed" 1 (Atomic.get exits);
  check_rejected "run" (( = ) Weir_lwt.Closed) (Weir_lwt.run (Option.get !seen) ignore) >>= fun () ->
  check_rejected "raised" (( = ) Own) (use (fun _ -> raise Own)) >>= fun () ->
  check_int "closed as well" 2 (Atomic.get exits);
  let failing = Weir_lwt.create ~threads:1 ~init:(fun () -> raise Own) ~at_exit:ignore () in
  check_rejected "not opened" (( = ) Own) (Weir_lwt.with_pool failing (fun _ -> assert false))

let posts_into_the_loop () =
  Weir_lwt.with_pool (weir 1) (fun pool ->
      let here = Thread.id (Thread.self ()) and seen, see = Lwt.wait () in
      let post () =
        Weir_lwt.run_in_main_dont_wait
          (fun () -> Lwt.pause () >>= fun () -> Lwt.fail Own)
          (fun exn -> Lwt.wakeup see (exn = Own, Thread.id (Thread.self ())))
      in
      Weir_lwt.run pool post >>= fun () ->
      seen >|= fun told ->
      Alcotest.(check (pair bool int)) "the handler was told, there" (true, here) told)

let () =
  main "weir_lwt"
    [
      ( "shorter ways",
        [
          test "map_p keeps the order, and lets all end" maps;
          test "with_pool closes the pool after a value or a failure" with_pool_closes;
          test "run_in_main_dont_wait does not wait" posts_into_the_loop;
        ] );
      ( "promises",
        [
          test "values, and exceptions with their backtrace" values_and_exceptions;
          test "cancel takes a queued task back" cancel_queued;
          test "cancel discards a running task's result" cancel_running;
          test "a timeout takes a queued task back" timeout_queued;
          test "a timeout rejects a running task's promise" timeout_running;
          test "a task that has ended by its timeout keeps its outcome" ended_at_the_limit;
          test "a cancel does not end a task's call to the loop" cancel_in_a_call;
          test "an error that comes after a timeout is told once" fails_after_timeout;
          test "an error that comes after a cancel is told once" fails_after_cancel;
          test "a start deadline passes although every thread is stuck" start_deadline;
          test "the highest priority starts first" priorities;
          test "3,000 runs, cancelled or failing, settle once each" storm;
        ] );
      ( "limits",
        [
          test "a full queue rejects" full_rejects;
          test "or keeps the promise pending, in order" full_waits;
          test "options out of range are refused by name" bad_options;
        ] );
      ( "closing",
        [
          test "close rejects queued tasks at once and waits for running ones" close_rejects;
          test "drain runs queued tasks first" close_drains;
          test "a drain may be given up" reject_after_drain;
        ] );
      ( "threads and loops",
        [
          test "other threads are told to use run_in_main" wrong_thread;
          test "run_in_main works on any other thread" calls_from_any_thread;
          test "the pool below is at hand" pool_below;
          test "what a callback raises goes to async_exception_hook" raising_callback;
          test "another engine takes over" engine_changes;
        ] );
    ]
