(* SPDX-License-Identifier: ISC
   Weir.Pool: opening, running, limits, closing. *)

open Support
module Pool = Weir.Pool
module Future = Weir.Future

exception Own

let plain ?queue_limit ?when_full ?max_running threads =
  Pool.create ?queue_limit ?when_full ?max_running ~threads ~init:ignore ~at_exit:ignore ()

let check_int = Alcotest.(check int)
let self () = Thread.id (Thread.self ())

(* Opening *)

let states () =
  let mutex = Mutex.create () and made = ref [] and given_back = ref [] in
  let note list =
    Mutex.lock mutex;
    list := self () :: !list;
    Mutex.unlock mutex
  in
  let init () =
    note made;
    self ()
  in
  let at_exit id =
    check_int "at_exit's thread" id (self ());
    note given_back
  in
  let pool = Pool.create ~threads:3 ~init ~at_exit () in
  check_int "inits when create returns" 3 (List.length !made);
  for _ = 1 to 50 do
    let state, thread = Future.await (Pool.run pool (fun state -> (state, self ()))) in
    check_int "the state is that thread's" state thread
  done;
  Pool.close pool;
  let sorted l = List.sort compare !l in
  Alcotest.(check (list int)) "each once" (sorted made) (sorted given_back)

let failing_init bad () =
  let started = Atomic.make 0 and ended = Atomic.make 0 in
  let exn = Failure "init" in
  let init () = if Atomic.fetch_and_add started 1 = bad then raise exn in
  let at_exit () = Atomic.incr ended in
  (match Pool.create ~threads:3 ~init ~at_exit () with
  | _ -> Alcotest.fail "opened"
  | exception e -> Alcotest.(check bool) "the init's own exception" true (e == exn));
  check_int "at_exits" (Atomic.get started - 1) (Atomic.get ended)

let bad_numbers () =
  let refuse ~naming f = raises_invalid ~naming (fun () -> Pool.close (f ())) in
  List.iter
    (fun n -> refuse ~naming:"threads" (fun () -> plain n))
    [ 0; -1; min_int; 1025; max_int ];
  refuse ~naming:"queue_limit" (fun () -> plain ~queue_limit:0 1);
  refuse ~naming:"max_running" (fun () -> plain ~max_running:(fun _ -> Some 0) 1);
  let ticking () = Pool.create ~tick_ms:0 ~threads:1 ~init:ignore ~at_exit:ignore () in
  refuse ~naming:"tick_ms" ticking;
  let domains () = Pool.create ~kind:`Domains ~threads:1 ~init:ignore ~at_exit:ignore () in
  if not is_ocaml_5 then refuse ~naming:"Domains" domains

let many_threads () =
  let pool = plain 64 in
  check_int "threads" 64 (Pool.stats pool).threads;
  Pool.close pool

(* Running *)

let order () =
  let pool = plain 1 and hold = Hold.make () and ran = ref [] in
  let first = Pool.run pool (Hold.task hold) in
  let rest = List.init 100 (fun i -> Pool.run pool (fun () -> ran := i :: !ran)) in
  Hold.let_go hold;
  List.iter Future.await (first :: rest);
  Alcotest.(check (list int)) "in order" (List.init 100 Fun.id) (List.rev !ran);
  Pool.close pool

let rec deep n = if n = 0 then raise Own else 1 + deep (n - 1)

let exceptions () =
  Printexc.record_backtrace true;
  let pool = plain 1 in
  (match Future.await (Pool.run pool (fun () -> deep 3)) with
  | _ -> Alcotest.fail "no exception"
  | exception e ->
      let trace = Printexc.get_backtrace () in
      Alcotest.(check bool) "identity" true (e == Own);
      check_backtrace "backtrace" trace "test_pool.ml");
  check_int "the thread lives on" 1 (Future.await (Pool.run pool (fun () -> 1)));
  Pool.close pool

let many_submitters () =
  let pool = plain 2 and ran = Atomic.make 0 in
  let submit () =
    for _ = 1 to 2_000 do
      ignore (Pool.run pool (fun () -> Atomic.incr ran))
    done
  in
  let threads = List.init 4 (fun _ -> Thread.create submit ()) in
  List.iter Thread.join threads;
  Pool.close ~mode:`Drain pool;
  check_int "every task ran once" 8_000 (Atomic.get ran)

let priorities () =
  let pool = plain 1 and hold = Hold.make () and ran = ref [] in
  ignore (Pool.run pool (Hold.task hold));
  Hold.until_it_runs hold;
  let submit priority = ignore (Pool.run ~priority pool (fun () -> ran := priority :: !ran)) in
  List.iter submit [ Weir.Low; Normal; High; Low; Normal; High ];
  Hold.let_go hold;
  Pool.close ~mode:`Drain pool;
  let expected = [ Weir.High; High; Normal; Normal; Low; Low ] in
  Alcotest.(check bool) "highest first, FIFO within" true (List.rev !ran = expected)

let caps () =
  let max_running = function Weir.Low -> Some 1 | _ -> None in
  let pool = plain ~max_running 2 and one = Hold.make () in
  ignore (Pool.run ~priority:Low pool (Hold.task one));
  Hold.until_it_runs one;
  let second = Pool.run ~priority:Low pool ignore in
  Future.await (Pool.run pool ignore);
  Alcotest.(check bool) "the second Low one waits" true (Future.poll second = None);
  Hold.let_go one;
  Future.await second;
  Pool.close pool

let pausing () =
  let pool = plain 1 in
  Pool.pause pool;
  let task = Pool.run pool ignore in
  check_int "queued" 1 (Pool.stats pool).queued;
  Pool.resume pool;
  Future.await task;
  Pool.close pool;
  match Pool.pause pool with
  | () -> Alcotest.fail "paused a closed pool"
  | exception Weir.Closed -> ()

(* Limits *)

let full_refuses () =
  let pool = plain ~queue_limit:2 1 and hold = Hold.make () in
  ignore (Pool.run pool (Hold.task hold));
  Hold.until_it_runs hold;
  let queued = List.init 2 (fun _ -> Pool.run pool ignore) in
  (match Pool.run pool ignore with
  | _ -> Alcotest.fail "accepted a third"
  | exception Weir.Full -> ());
  Alcotest.(check bool) "taken back" true (Future.cancel (List.hd queued) = `Taken_back);
  ignore (Pool.run pool ignore) (* the space is free at once *);
  check_int "refused" 1 (Pool.stats pool).refused;
  Hold.let_go hold;
  Pool.close ~mode:`Drain pool

let full_blocks () =
  let pool = plain ~queue_limit:1 ~when_full:`Block 1 and hold = Hold.make () in
  ignore (Pool.run pool (Hold.task hold));
  Hold.until_it_runs hold;
  ignore (Pool.run pool ignore);
  let about = Gate.make () and third = Atomic.make None in
  let submit () =
    Gate.open_ about;
    Atomic.set third (Some (Pool.run pool ignore))
  in
  let thread = Thread.create submit () in
  Gate.enter about;
  Hold.let_go hold;
  Thread.join thread;
  Option.iter Future.await (Atomic.get third);
  Pool.close pool

let full_blocks_own_worker () =
  let pool = plain ~queue_limit:1 ~when_full:`Block 1 in
  let task () =
    ignore (Pool.run pool ignore);
    raises_invalid ~naming:"Pool.run" (fun () -> Pool.run pool ignore)
  in
  Future.await (Pool.run pool task);
  Pool.close pool

(* The only worker is stuck: the deadline passes all the same. *)
let start_deadline () =
  let pool = plain 1 and hold = Hold.make () and told = Gate.make () in
  let running = Pool.run ~start_within:20. pool (Hold.task hold) in
  Hold.until_it_runs hold;
  let late = Pool.run ~start_within:0.001 pool ignore in
  Future.on_settle late (fun _ -> Gate.open_ told);
  Alcotest.check_raises "expired" Weir.Expired (fun () -> Future.await late);
  Gate.enter told;
  raises_invalid ~naming:"start_within" (fun () -> Pool.run ~start_within:0. pool ignore);
  raises_invalid ~naming:"start_within" (fun () -> Pool.run ~start_within:nan pool ignore);
  Hold.let_go hold;
  Future.await running;
  check_int "counted" 1 (Pool.stats pool).expired;
  Pool.close pool

(* What a slot keeps *)

let collected = Atomic.make 0

let tracked () =
  let value = ref 0 in
  Gc.finalise (fun _ -> Atomic.incr collected) value;
  value

let[@inline never] cancelled pool =
  let value = tracked () in
  let task = Pool.run pool (fun () -> incr value) in
  if Future.cancel task <> `Taken_back then Alcotest.fail "not queued";
  task

let[@inline never] ended pool =
  let value = tracked () in
  let task = Pool.run pool (fun () -> incr value) in
  Future.await task;
  task

let held pool =
  let hold = Hold.make () in
  ignore (Pool.run pool (Hold.task hold));
  Hold.until_it_runs hold;
  hold

(* Neither the pool, which is still open, nor the futures, which are kept. *)
let keeps_nothing () =
  let pool = plain 2 in
  Atomic.set collected 0;
  let tasks = List.init 10 (fun _ -> ended pool) in
  let holds = List.init 2 (fun _ -> held pool) in
  let tasks = tasks @ List.init 10 (fun _ -> cancelled pool) in
  Gc.full_major ();
  Gc.full_major ();
  (* The last value of each loop may still stand in a register or a stack slot. *)
  let n = Atomic.get collected in
  if n < 18 then Alcotest.failf "only %d of 20 were collected" n;
  check_int "futures" 20 (List.length (Sys.opaque_identity tasks));
  List.iter Hold.let_go holds;
  Pool.close pool

let slots_are_reused () =
  let pool = plain 1 in
  let live = Weir__Raw.slots_live () in
  for _ = 1 to 20_000 do
    Future.await (Pool.run pool ignore)
  done;
  Alcotest.(check bool) "no slot was lost" true (Weir__Raw.slots_live () <= live + 1);
  Pool.close pool

(* Counting *)

let statistics () =
  let pool = plain ~queue_limit:1 1 and hold = Hold.make () in
  let running = Pool.run pool (Hold.task hold) in
  Hold.until_it_runs hold;
  let queued = Pool.run pool ignore in
  (try ignore (Pool.run pool ignore) with Weir.Full -> ());
  let s = Pool.stats pool in
  check_int "running" 1 s.running;
  check_int "queued" 1 s.queued;
  check_int "submitted" 2 s.submitted;
  ignore (Future.cancel queued);
  Hold.let_go hold;
  Future.await running;
  let failing = Pool.run pool (fun () -> raise Own) in
  (try Future.await failing with Own -> ());
  Pool.close pool;
  let s = Pool.stats pool in
  check_int "ok" 1 s.ok;
  check_int "failed" 1 s.failed;
  check_int "cancelled" 1 s.cancelled;
  check_int "refused" 1 s.refused;
  check_int "the sum" s.submitted (s.ok + s.failed + s.cancelled + s.expired + s.closed);
  check_int "threads" 0 s.threads

let ticking () =
  let pool = Pool.create ~tick_ms:1 ~threads:2 ~init:ignore ~at_exit:ignore () in
  let turns = Atomic.make 0 in
  let spin () =
    while Atomic.get turns < 20 do
      ignore (Sys.opaque_identity (ref 0))
    done
  in
  let tasks = List.init 2 (fun _ -> Pool.run pool spin) in
  while Atomic.get turns < 20 do
    Atomic.incr turns;
    Thread.yield ()
  done;
  List.iter Future.await tasks;
  Pool.close pool

(* The runtime's own period would let it in once in 50 ms. *)
let loops_are_let_in () =
  let main = Weir.Main.create () in
  let pool = Pool.create ~threads:2 ~init:ignore ~at_exit:ignore () in
  let turns = ref 0 and begun = Atomic.make 0 in
  let compute () =
    let start = Unix.gettimeofday () in
    let past () = Unix.gettimeofday () -. start in
    Atomic.incr begun;
    while !turns < 100 && past () < 60. do
      ignore (Sys.opaque_identity (ref 0))
    done
  in
  let tasks = List.init 2 (fun _ -> Pool.run pool compute) in
  while Atomic.get begun < 2 do
    Thread.yield ()
  done;
  let start = Unix.gettimeofday () in
  while !turns < 100 do
    incr turns;
    ignore (Unix.select [] [] [] 0.001)
  done;
  let lasted = Unix.gettimeofday () -. start in
  List.iter Future.await tasks;
  Pool.close pool;
  Weir.Main.close main;
  Alcotest.(check bool) (Printf.sprintf "100 turns in %.1f s" lasted) true (lasted < 100. *. 0.05 /. 2.)

let signals () =
  let pool = plain 1 in
  let mask = Future.await (Pool.run pool (fun () -> Thread.sigmask SIG_BLOCK [])) in
  let blocked s = List.mem s mask in
  List.iter
    (fun s -> Alcotest.(check bool) "blocked" true (blocked s))
    [ Sys.sigint; Sys.sigterm; Sys.sigchld; Sys.sigpipe; Sys.sigalrm; Sys.sighup ];
  List.iter
    (fun s -> Alcotest.(check bool) "open" false (blocked s))
    [ Sys.sigsegv; Sys.sigfpe; Sys.sigbus; Sys.sigill ];
  if not is_ocaml_5 then Alcotest.(check bool) "SIGVTALRM" false (blocked Sys.sigvtalrm);
  Pool.close pool;
  Alcotest.(check bool)
    "ours is as before" false
    (List.mem Sys.sigint (Thread.sigmask SIG_BLOCK []))

let () =
  main "pool"
    [
      ( "opening",
        [
          test "each thread makes its state on itself and gives it back there" states;
          test "an init that fails in the first thread fails the open" (failing_init 0);
          test "an init that fails in a middle thread fails the open" (failing_init 1);
          test "an init that fails in the last thread fails the open" (failing_init 2);
          test "numbers out of range are refused by name" bad_numbers;
          test "64 threads come and go" many_threads;
        ] );
      ( "running",
        [
          test "tasks start in the order they were submitted" order;
          test "an exception keeps its identity and backtrace" exceptions;
          test "tasks from many threads run once each" many_submitters;
          test "the highest priority starts first" priorities;
          test "a priority's cap holds its second task back" caps;
          test "no task starts while paused" pausing;
          test "workers block the signals that are not theirs" signals;
          test "a ticking pool hands the runtime over" ticking;
          test "a loop is let in while tasks compute" loops_are_let_in;
        ] );
      ( "limits",
        [
          test "a full queue refuses, a cancelled task makes room" full_refuses;
          test "a full queue blocks until there is space" full_blocks;
          test "a start deadline passes although every worker is stuck" start_deadline;
          test "a worker never waits for space in its own pool" full_blocks_own_worker;
          test "a settled or cancelled task keeps nothing alive" keeps_nothing;
          test "slots are used again" slots_are_reused;
          test "the counters add up" statistics;
        ] );
    ]
