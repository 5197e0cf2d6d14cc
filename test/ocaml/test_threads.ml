(* SPDX-License-Identifier: ISC
   Weir.Pool's threads: growing, retiring, resizing, spares, names. *)

open Support
module Pool = Weir.Pool
module Future = Weir.Future

let check_int = Alcotest.(check int)

let elastic ?idle ?max_blocked ?(init = ignore) ?(at_exit = ignore) threads threads_max =
  Pool.create ?idle ?max_blocked ~threads_max ~threads ~init ~at_exit ()

let threads_are pool n () = (Pool.stats pool).threads = n

(* So many tasks that hold a thread each, all running. *)
let hold_threads pool n =
  let holds = List.init n (fun _ -> Hold.make ()) in
  let tasks = List.map (fun hold -> Pool.run pool (Hold.task hold)) holds in
  List.iter Hold.until_it_runs holds;
  (holds, tasks)

let let_go (holds, tasks) =
  List.iter Hold.let_go holds;
  List.iter Future.await tasks

(* Growing and retiring *)

let grows () =
  let pool = elastic 1 3 in
  let held = hold_threads pool 3 in
  let fourth = Pool.run pool ignore in
  check_int "no further" 3 (Pool.stats pool).threads;
  check_int "grown" 2 (Pool.stats pool).grown;
  check_int "the fourth waits" 1 (Pool.stats pool).queued;
  let_go held;
  Future.await fourth;
  Pool.close pool

let retires () =
  let inits = Atomic.make 0 and exits = Atomic.make 0 in
  let init () = Atomic.incr inits and at_exit () = Atomic.incr exits in
  let pool = elastic ~idle:0.001 ~init ~at_exit 1 4 in
  let_go (hold_threads pool 4);
  until (threads_are pool 1);
  check_int "retired" 3 (Pool.stats pool).retired;
  check_int "each gave its state back" 3 (Atomic.get exits);
  let_go (hold_threads pool 4) (* and it grows again *);
  Pool.close pool;
  check_int "as many states given back as made" (Atomic.get inits) (Atomic.get exits)

let no_second_state inits () =
  if Atomic.fetch_and_add inits 1 > 0 then failwith "no second state"

(* The thread that came late is given up, the core is told so, and it asks again no
   sooner than it chooses to. *)
let lent_init_fails () =
  let inits = Atomic.make 0 in
  let pool = elastic ~init:(no_second_state inits) 1 2 in
  let held = hold_threads pool 1 in
  let waits = Pool.run pool ignore in
  until (fun () -> (Pool.stats pool).lends_refused > 0);
  let failed = Atomic.get inits - 1 in
  if failed > (Pool.stats pool).lends_refused + 1 then Alcotest.failf "%d tries" failed;
  let_go held;
  Future.await waits;
  check_int "it serves with what it has" 1 (Pool.stats pool).threads;
  Pool.close pool

let close_while_growing () =
  let inits = Atomic.make 0 and exits = Atomic.make 0 in
  let init () = Atomic.incr inits and at_exit () = Atomic.incr exits in
  for _ = 1 to 50 do
    let pool = elastic ~init ~at_exit 1 8 in
    for _ = 1 to 8 do
      ignore (Pool.run pool Thread.yield)
    done;
    Pool.close pool;
    check_int "every state was given back" (Atomic.get inits) (Atomic.get exits)
  done

(* Resizing *)

let resize_grows () =
  let pool = elastic 1 1 in
  Pool.resize pool 4;
  until (threads_are pool 4);
  let_go (hold_threads pool 4);
  check_int "the getter" 4 (Pool.threads pool);
  Pool.resize ~threads_max:6 pool 2;
  let o = Pool.options pool in
  check_int "least" 2 o.threads;
  check_int "most" 6 o.threads_max;
  let_go (hold_threads pool 6);
  Pool.close pool

let resize_loses_nothing () =
  let pool = elastic 4 4 and ran = Atomic.make 0 in
  let held = hold_threads pool 4 in
  let queued = List.init 200 (fun _ -> Pool.run pool (fun () -> Atomic.incr ran)) in
  Pool.resize pool 1;
  let_go held;
  List.iter Future.await queued;
  check_int "every queued task ran" 200 (Atomic.get ran);
  until (threads_are pool 1);
  Pool.close pool

let resize_storm () =
  let pool = elastic ~idle:0.0001 2 2 and ran = Atomic.make 0 in
  for i = 1 to 300 do
    let n = 1 + (i mod 5) in
    Pool.resize ~threads_max:(n + 2) pool n;
    for _ = 1 to 10 do
      ignore (Pool.run pool (fun () -> Atomic.incr ran))
    done
  done;
  Pool.close ~mode:`Drain pool;
  check_int "every task ran once" 3_000 (Atomic.get ran)

let bad_sizes () =
  let pool = elastic 2 2 in
  let refuse naming f = raises_invalid ~naming f in
  List.iter
    (fun n ->
      refuse (Printf.sprintf "Weir.Pool.resize: threads is %d" n) (fun () -> Pool.resize pool n))
    [ -1; 1025; max_int; min_int ];
  refuse "threads_max is 0, not in 1..1024" (fun () -> Pool.resize pool 0);
  List.iter
    (fun n ->
      refuse
        (Printf.sprintf "threads_max is %d" n)
        (fun () -> Pool.resize ~threads_max:n pool 2))
    [ 1; 0; 1025; max_int ];
  check_int "nothing changed" 2 (Pool.threads pool);
  Pool.close pool;
  Alcotest.check_raises "closed" Weir.Closed (fun () -> Pool.resize pool 2)

(* Spares *)

let blocking_brings_a_spare () =
  let pool = elastic ~max_blocked:1 1 1 and gate = Gate.make () in
  let waits = Pool.run pool (fun () -> Pool.blocking (fun () -> Gate.enter gate)) in
  let open_ () =
    Gate.open_ gate;
    Pool.stats pool
  in
  let opens = Pool.run pool open_ in
  check_int "blocked" 1 (Future.await opens).blocked;
  Future.await waits;
  until (threads_are pool 1) (* the spare leaves *);
  check_int "none is blocked" 0 (Pool.stats pool).blocked;
  Pool.close pool

let blocking_elsewhere () =
  check_int "its value" 3 (Pool.blocking (fun () -> 3));
  Alcotest.check_raises "its exception" Exit (fun () -> Pool.blocking (fun () -> raise Exit));
  let pool = elastic ~max_blocked:1 1 1 in
  (match Future.await (Pool.run pool (fun () -> Pool.blocking (fun () -> raise Exit))) with
  | () -> Alcotest.fail "no exception"
  | exception Exit -> ());
  check_int "none is blocked" 0 (Pool.stats pool).blocked;
  Pool.close pool

let rec nested pool depth =
  if depth = 0 then 0
  else 1 + Future.await (Pool.run pool (fun () -> nested pool (depth - 1)))

(* The outermost is awaited here; each further one takes a thread. *)
let await_brings_spares () =
  let pool = elastic ~max_blocked:2 1 1 in
  check_int "two spares" 3 (nested pool 3);
  raises_invalid ~naming:"would deadlock: pool 'weir', " (fun () -> nested pool 4);
  Pool.close pool

let await_grows () =
  let pool = elastic 1 3 in
  check_int "two more threads" 3 (nested pool 3);
  raises_invalid ~naming:"would deadlock: pool 'weir', " (fun () -> nested pool 4);
  Pool.close pool

(* The thread that could have run what is awaited leaves. *)
let shrunk_under_an_await () =
  let pool = elastic 2 2 in
  let held = hold_threads pool 1 in
  let outer () = Future.await (Pool.run pool ignore) in
  let outer = Pool.run pool outer in
  until (fun () -> (Pool.stats pool).blocked = 1);
  Pool.resize pool 1;
  let_go held;
  raises_invalid ~naming:"would deadlock: pool 'weir', " (fun () -> Future.await outer);
  Pool.close ~mode:`Drain pool

(* Nobody is asked for while it is paused; who waits is not told that none will come. *)
let paused_under_an_await () =
  let pool = elastic ~max_blocked:1 1 1 in
  let outer () =
    Pool.pause pool;
    Future.await (Pool.run pool (fun () -> 3))
  in
  let outer = Pool.run pool outer in
  until (fun () -> (Pool.stats pool).blocked = 1);
  Pool.resume pool;
  check_int "a spare came" 3 (Future.await outer);
  Pool.close pool

let refused_under_an_await () =
  let pool = elastic ~init:(no_second_state (Atomic.make 0)) 1 2 in
  raises_invalid ~naming:"would deadlock: pool 'weir', " (fun () -> nested pool 2);
  Pool.close pool

(* The main's thread makes the pool's threads. *)
let opened_here ?threads_max ?max_blocked () =
  let main = Weir.Main.create () and pool = ref None in
  let ready r = pool := Some (Result.get_ok r) in
  Pool.create_async ~main ?threads_max ?max_blocked ~threads:1 ~init:ignore ~at_exit:ignore ready;
  while !pool = None do
    ignore (Weir.Main.wait main)
  done;
  (main, Option.get !pool)

(* What the close waits for needs a thread that only this thread makes. *)
let lends_while_closing () =
  let main, pool = opened_here ~max_blocked:1 () in
  let gate = Gate.make () and inner = ref None in
  let outer () =
    Gate.enter gate;
    Future.await (Option.get !inner)
  in
  let outer = Pool.run pool outer in
  inner := Some (Pool.run pool (fun () -> 1));
  let closes () = match Pool.resume pool with () -> false | exception Weir.Closed -> true in
  let open_ () =
    until closes;
    Gate.open_ gate
  in
  let opener = Thread.create open_ () in
  Pool.close ~mode:`Drain pool;
  check_int "it had its spare" 1 (Future.await outer);
  Thread.join opener;
  Weir.Main.close main

(* The main that would make the new thread is closed. *)
let nobody_lends () =
  let main, pool = opened_here ~threads_max:2 () in
  Weir.Main.close main;
  raises_invalid ~naming:"would deadlock: pool 'weir', " (fun () -> nested pool 2);
  raises_invalid ~naming:"would deadlock: pool 'weir', " (fun () -> nested pool 2);
  Pool.close pool

(* A task with a main of its own waits by dispatching it. *)
let await_beside_a_main () =
  let pool = elastic ~max_blocked:1 1 1 in
  let task () =
    let main = Weir.Main.create () in
    let inner = Pool.run pool (fun () -> Weir.Main.run_in ~main (fun () -> 5)) in
    let n = Future.await inner in
    Weir.Main.close main;
    n
  in
  check_int "called back" 5 (Future.await (Pool.run pool task));
  Pool.close pool

(* Refusals by the system *)

let rec fill_up gate =
  match Thread.create Gate.enter gate with
  | _ -> fill_up gate
  | exception (Sys_error _ | Failure _) -> ()

(* It asks again when a task waits, no sooner than the core chooses to. *)
let gets_threads pool () =
  match nested pool 2 with 2 -> true | _ -> false | exception Invalid_argument _ -> false

let refused () =
  become_ordinary ();
  let pool = elastic 1 8 and gate = Gate.make () and ran = Atomic.make 0 in
  fill_up gate;
  (match nested pool 2 with
  | n -> say "%d" n
  | exception Invalid_argument text -> say "alone: %s" text);
  let held = hold_threads pool 1 in
  let queued = List.init 20 (fun _ -> Pool.run pool (fun () -> Atomic.incr ran)) in
  until (fun () -> (Pool.stats pool).lends_refused > 0);
  let_go held;
  List.iter Future.await queued;
  say "ran %d on %d" (Atomic.get ran) (Pool.stats pool).threads;
  Gate.open_ gate;
  until (gets_threads pool);
  say "and then more: %b" ((Pool.stats pool).threads > 1);
  Pool.close pool

let domains () =
  let kind = if is_ocaml_5 then `Domains else `Threads in
  let pool =
    Pool.create ~kind ~idle:0.001 ~threads_max:2 ~threads:1 ~init:ignore ~at_exit:ignore ()
  in
  let_go (hold_threads pool 2);
  until (threads_are pool 1);
  say "retired %d" (Pool.stats pool).retired;
  Pool.close pool

let scenarios = [ ("refused", refused); ("domains", domains) ]

(* Names *)

let names () =
  let named name = Pool.create ~name ~threads:1 ~init:ignore ~at_exit:ignore () in
  let expect name expected =
    let pool = named name in
    Alcotest.(check string) name expected (Future.await (Pool.run pool own_thread_name));
    Pool.close pool
  in
  expect "db" "db/0";
  expect "a-name-of-some-length" "a-name-of-som/0";
  expect "" "/0";
  let pool = elastic 1 2 and hold = Hold.make () in
  let named_when_held () =
    Hold.task hold ();
    own_thread_name ()
  in
  let tasks = List.init 2 (fun _ -> Pool.run pool named_when_held) in
  until (fun () -> (Pool.stats pool).running = 2);
  Hold.let_go hold;
  let seen = List.sort compare (List.map Future.await tasks) in
  Alcotest.(check (list string)) "the next one's, too" [ "weir/0"; "weir/1" ] seen;
  Pool.close pool

let () =
  main ~scenarios "threads"
    [
      ( "growing",
        [
          test "a pool grows to threads_max while tasks wait, no further" grows;
          test "threads too many retire when they have idled" retires;
          test "a thread that comes later may fail in its init" lent_init_fails;
          scenario_test "so do domains, where there are any" "domains" [ "retired 1" ];
          scenario_test ~shell:few_threads "the system may refuse the new threads" "refused"
            [ "ran 20 on 1"; "alone: Weir.Future.await: would deadlock"; "and then more: true" ];
          test "a close while the pool grows gives every state back" close_while_growing;
        ] );
      ( "resizing",
        [
          test "more threads come at once" resize_grows;
          test "fewer threads lose no queued task" resize_loses_nothing;
          test "300 resizes under load lose no task" resize_storm;
          test "sizes out of range are refused by name and value" bad_sizes;
        ] );
      ( "spares",
        [
          test "a blocked task makes room for a spare thread" blocking_brings_a_spare;
          test "blocking is its function, anywhere" blocking_elsewhere;
          test "a task that awaits its own pool gets spares, or is told" await_brings_spares;
          test "an elastic pool grows for one that awaits" await_grows;
          test "one that awaits is told when its pool shrinks" shrunk_under_an_await;
          test "and when the new thread fails in its init" refused_under_an_await;
          test "and when nobody lends a thread" nobody_lends;
          test "but not while the pool is paused" paused_under_an_await;
          test "a main's thread lends while it blocks in a close" lends_while_closing;
          test "one with a main of its own serves it meanwhile" await_beside_a_main;
        ] );
      ("names", [ test "threads are numbered, also below a long name" names ]);
    ]
