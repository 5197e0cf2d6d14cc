(* SPDX-License-Identifier: ISC
   Weir_lwt: elastic pools, full queues, a close within a time, and what can be seen. *)

open Lwt.Infix
open Support
open Lwt_support

exception Own

let check_int = Alcotest.(check int)
let check_bool = Alcotest.(check bool)
let is exn other = exn == other

let create ?threads_max ?idle ?max_blocked ?queue_limit ?when_full ?measure ?exit_within threads =
  Weir_lwt.create ?threads_max ?idle ?max_blocked ?queue_limit ?when_full ?measure ?exit_within
    ~threads ~init:ignore ~at_exit:ignore ()

(* The loop makes the threads: it turns until the task runs. *)
let rec until_it_runs (hold : Hold.t) =
  if hold.runs.is_open then Lwt.return_unit else Lwt.pause () >>= fun () -> until_it_runs hold

let rec until is_true =
  if is_true () then Lwt.return_unit else Lwt.pause () >>= fun () -> until is_true

let held ?queue_limit ?when_full () =
  create ?queue_limit ?when_full 1 >>= fun pool ->
  let hold = Hold.make () in
  let running = Weir_lwt.run pool (Hold.task hold) in
  wait_here hold;
  Lwt.return (pool, hold, running)

let grows_and_retires () =
  create ~threads_max:3 ~idle:0.001 1 >>= fun pool ->
  let holds = List.init 3 (fun _ -> Hold.make ()) in
  let tasks = List.map (fun hold -> Weir_lwt.run pool (Hold.task hold)) holds in
  Lwt_list.iter_s until_it_runs holds >>= fun () ->
  check_int "grown" 3 (Weir_lwt.stats pool).threads;
  List.iter Hold.let_go holds;
  Lwt.join tasks >>= fun () ->
  until (fun () -> (Weir_lwt.stats pool).threads = 1) >>= fun () ->
  Weir_lwt.resize pool 2;
  until (fun () -> (Weir_lwt.stats pool).threads = 2) >>= fun () -> Weir_lwt.close pool

let lazily ?(init = ignore) threads_max =
  Weir_lwt.create ~idle:1e-9 ~threads_max ~threads:0 ~init ~at_exit:ignore ()

(* The loop makes the thread of the first task, and of each after the last has retired. *)
let comes_with_a_task () =
  lazily 2 >>= fun pool ->
  check_int "no thread" 0 (pool_threads ());
  let round i =
    Weir_lwt.run pool (fun () -> i) >>= fun n ->
    check_int "its value" i n;
    until (fun () -> (Weir_lwt.stats pool).threads = 0)
  in
  Lwt_list.iter_s round [ 1; 2; 3 ] >>= fun () ->
  check_int "grown" 3 (Weir_lwt.stats pool).grown;
  Weir_lwt.close ~mode:`Drain pool >>= fun () ->
  lazily 1 >>= fun unused ->
  Weir_lwt.close_within unused 20. >>= fun in_time ->
  check_bool "closed in time" true in_time;
  check_rejected "closed" (is Weir_lwt.Closed) (Weir_lwt.run unused ignore)

let tries_again () =
  let fails = ref true and told = ref 0 and before = !Weir.on_unhandled in
  lazily ~init:(fun () -> if !fails then raise Own) 1 >>= fun pool ->
  (Weir.on_unhandled := fun u -> if u.from = `Init && u.exn == Own then incr told);
  let waiting = List.init 3 (fun _ -> Weir_lwt.run pool ignore) in
  Lwt_list.iter_s (check_rejected "waits" (is Own)) waiting >>= fun () ->
  Weir.on_unhandled := before;
  check_int "told once" 1 !told;
  fails := false;
  Weir_lwt.run pool (fun () -> 2) >>= fun n ->
  check_int "the next one" 2 n;
  Weir_lwt.close pool

(* It waits for a task for which another thread must be made by the loop that serves it. *)
let lazily_nested () =
  lazily 2 >>= fun pool ->
  let inner () = Weir_lwt.run pool (fun () -> 4) in
  Weir_lwt.run pool (fun () -> Weir_lwt.run_in_main inner) >>= fun n ->
  check_int "through the loop" 4 n;
  Weir_lwt.close pool

(* The task waits for another one on its own pool, by way of the loop. *)
let spares () =
  create ~max_blocked:1 1 >>= fun pool ->
  let inner () = Weir_lwt.run pool (fun () -> 4) in
  let outer () = Weir.Pool.blocking (fun () -> Weir_lwt.run_in_main inner) in
  Weir_lwt.run pool outer >>= fun n ->
  check_int "through the loop" 4 n;
  Weir_lwt.close pool

(* The pool's only thread waits for a promise of a task behind it. *)
let own_full_pool () =
  create 1 >>= fun pool ->
  let call ?timeout f () =
    Weir_lwt.run_in_main (fun () -> f (Weir_lwt.run ?timeout pool (fun () -> 21)))
  in
  let is_told = is_invalid ~naming:"Weir_lwt.run_in_main: would deadlock: pool 'weir', 1 of 1" in
  check_rejected "itself" is_told (Weir_lwt.run pool (call Fun.id)) >>= fun () ->
  check_rejected "bound" is_told (Weir_lwt.run pool (call (Lwt.map succ))) >>= fun () ->
  check_rejected "in time" (is Weir_lwt.Timeout) (Weir_lwt.run pool (call ~timeout:0.001 Fun.id))
  >>= fun () ->
  Weir_lwt.run pool (call (fun _ -> Lwt.return 5)) >>= fun n ->
  check_int "not waited for" 5 n;
  Weir_lwt.close ~mode:`Drain pool

(* Both threads call: the first one may wait. *)
let both_wait () =
  create 2 >>= fun pool ->
  let inside = Atomic.make 0 in
  let call () =
    Atomic.incr inside;
    Support.until (fun () -> Atomic.get inside = 2);
    Weir_lwt.run_in_main (fun () -> Weir_lwt.run pool (fun () -> 1))
  in
  let settled promise =
    Lwt.try_bind (fun () -> promise) Lwt.return (fun exn ->
        check_bool "told" true (is_invalid ~naming:"2 of 2" exn);
        Lwt.return 0)
  in
  Lwt_list.map_p (fun f -> settled (Weir_lwt.run pool f)) [ call; call ] >>= fun both ->
  check_int "one of two" 1 (List.fold_left ( + ) 0 both);
  Weir_lwt.close ~mode:`Drain pool

(* The second thread runs what the first one waits for, and waits for a third. *)
let chain () =
  create 2 >>= fun pool ->
  let call f () = Weir_lwt.run_in_main (fun () -> Weir_lwt.run pool f) in
  check_rejected "the outer one" (is_invalid ~naming:"2 of 2") (Weir_lwt.run pool (call (call ignore)))
  >>= fun () -> Weir_lwt.close ~mode:`Drain pool

let patience () =
  let n = ref 0 and never, _ = Lwt.wait () in
  let look () =
    incr n;
    min !n 50
  in
  Weir_lwt__Patience.until_stuck ~pause:Lwt.pause ~look never >>= fun closed ->
  check_bool "given up" false closed;
  check_int "after so many looks at rest" (50 + Weir_lwt__Patience.looks) !n;
  Weir_lwt__Patience.until_stuck ~pause:Lwt.pause ~look Lwt.return_unit >|= fun closed ->
  check_bool "closed" true closed

let drops_oldest () =
  held ~queue_limit:1 ~when_full:`Drop_oldest () >>= fun (pool, hold, running) ->
  let oldest = Weir_lwt.run pool ignore in
  let newest = Weir_lwt.run pool ignore in
  check_rejected "the oldest" (is Weir_lwt.Full) oldest >>= fun () ->
  Hold.let_go hold;
  Lwt.join [ running; newest ] >>= fun () -> Weir_lwt.close pool

let runs_here () =
  held ~queue_limit:1 ~when_full:(`Run_here ignore) () >>= fun (pool, hold, running) ->
  let queued = Weir_lwt.run pool ignore in
  let self () = Thread.id (Thread.self ()) in
  Weir_lwt.run pool self >>= fun thread ->
  check_int "on the loop" (self ()) thread;
  check_rejected "what it raises" (is Own) (Weir_lwt.run pool (fun () -> raise Own)) >>= fun () ->
  let calls () = Weir_lwt.run_in_main Lwt.return in
  check_rejected "run_in_main there" (is_invalid ~naming:"run_in_main") (Weir_lwt.run pool calls)
  >>= fun () ->
  Hold.let_go hold;
  Lwt.join [ running; queued ] >>= fun () -> Weir_lwt.close pool

let closes_within () =
  held () >>= fun (pool, hold, running) ->
  let queued = Weir_lwt.run pool ignore in
  Weir_lwt.close_within ~mode:`Drain pool 0.001 >>= fun in_time ->
  check_bool "not in time" false in_time;
  check_rejected "given up" (is Weir_lwt.Closed) queued >>= fun () ->
  Hold.let_go hold;
  running >>= fun () ->
  Weir_lwt.close_within pool 20. >|= fun in_time -> check_bool "in time" true in_time

let closes_in_time () =
  held () >>= fun (pool, hold, running) ->
  let queued = Weir_lwt.run pool ignore in
  let in_time = Weir_lwt.close_within pool 20. in
  check_rejected "at once" (is Weir_lwt.Closed) queued >>= fun () ->
  Hold.let_go hold;
  running >>= fun () -> in_time >|= check_bool "in time" true

let purges () =
  held () >>= fun (pool, hold, running) ->
  let queued = List.init 5 (fun _ -> Weir_lwt.run pool ignore) in
  check_int "how many" 5 (Weir_lwt.purge pool);
  Lwt_list.iter_s (check_rejected "queued" (is Lwt.Canceled)) queued >>= fun () ->
  Hold.let_go hold;
  running >>= fun () -> Weir_lwt.close pool

let looks () =
  create ~measure:`Times ~queue_limit:3 ~when_full:`Wait 2 >>= fun pool ->
  Lwt_list.iter_p (Weir_lwt.run pool) [ ignore; ignore; ignore ] >>= fun () ->
  Weir_lwt.close pool >|= fun () ->
  check_int "queue times" 3 (Weir.Histogram.count (Weir_lwt.histogram pool `Queue_time));
  check_bool "waits in line" true ((Weir_lwt.options pool).queue_limit = None);
  check_int "threads" 2 (Weir_lwt.threads pool);
  Alcotest.(check string) "name" "weir" (Weir_lwt.name pool)

let bad_values () =
  create 1 >>= fun pool ->
  let refuse naming f = raises_invalid ~naming f in
  refuse "Weir_lwt.create: threads_max is 1, not in 2..1024" (fun () -> create ~threads_max:1 2);
  refuse "Weir_lwt.create: idle is -1" (fun () -> create ~idle:(-1.) 2);
  refuse "Weir_lwt.create: max_blocked is -1" (fun () -> create ~max_blocked:(-1) 2);
  refuse "Weir_lwt.create: queue_limit is 0" (fun () -> create ~queue_limit:0 ~when_full:`Wait 2);
  refuse "Weir_lwt.close_within: the limit is -1" (fun () -> Weir_lwt.close_within pool (-1.));
  refuse "Weir_lwt.close_within: the limit is nan" (fun () -> Weir_lwt.close_within pool nan);
  refuse "Weir_lwt.create: exit_within is -1" (fun () -> create ~exit_within:(-1.) 2);
  refuse "timeout is nan" (fun () -> Weir_lwt.run ~timeout:nan pool ignore);
  refuse "Weir_lwt.create: threads_max is 0, not in 1..1024" (fun () -> create 0);
  refuse "resize: threads is -1" (fun () -> Weir_lwt.resize pool (-1));
  Weir_lwt.close pool

let () =
  main "weir_lwt, limits"
    [
      ( "threads",
        [
          test "the loop makes a pool's new threads; they retire" grows_and_retires;
          test "a lazy pool has none before a task" comes_with_a_task;
          test "an init that raises then rejects what waits, and is tried again" tries_again;
          test "a task of a lazy pool waits for another" lazily_nested;
          test "a blocked task makes room for a spare" spares;
          test "a task that waits for its own full pool is told" own_full_pool;
          test "of two that do, one" both_wait;
          test "also in a chain of calls" chain;
        ] );
      ( "a full queue",
        [
          test "drops the oldest, whose promise is rejected" drops_oldest;
          test "runs the task on the loop" runs_here;
        ] );
      ( "ends and looks",
        [
          test "close_within gives the queue up when the time has passed" closes_within;
          test "its true says that the threads ended, not that the queue ran" closes_in_time;
          test "an exit waits while tasks start and end" patience;
          test "purge rejects what is queued" purges;
          test "histograms and options are at hand" looks;
          test "values out of range are refused by name and value" bad_values;
        ] );
    ]
