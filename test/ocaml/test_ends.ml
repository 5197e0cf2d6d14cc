(* SPDX-License-Identifier: ISC
   Threads and processes that end, fork, or are refused. Each test is a process of its
   own: what it does to itself stays there. *)

open Support
module Pool = Weir.Pool
module Future = Weir.Future
module Main = Weir.Main

let plain threads = Pool.create ~threads ~init:ignore ~at_exit:ignore ()

let counting threads =
  let inits = Atomic.make 0 and exits = Atomic.make 0 in
  let init () = Atomic.incr inits and at_exit () = Atomic.incr exits in
  (Pool.create ~threads ~init ~at_exit (), inits, exits)

let message f = match Future.outcome f with Raised (e, _) -> Printexc.to_string e | _ -> "other"

(* Thread.exit *)

let thread_exit () = (Thread.exit [@ocaml.warning "-3"]) ()

let exit_thread_in_tasks () =
  let pool, inits, exits = counting 2 in
  for _ = 1 to 50 do
    ignore (message (Pool.run pool thread_exit));
    Future.await (Pool.run pool ignore)
  done;
  let failed = (Pool.stats pool).failed in
  Pool.close pool;
  let lost = if is_ocaml_5 then 0 else 50 in
  say "failed %d, as many states given back: %b" failed (Atomic.get inits = Atomic.get exits);
  say "replaced enough: %b" (Atomic.get inits >= lost)

let exit_thread_only_one () =
  let pool, inits, exits = counting 1 in
  let future = Pool.run pool thread_exit in
  let behind = Pool.run pool (fun () -> 42) in
  say "%s" (message future);
  say "the next task: %d" (Future.await behind);
  Pool.close pool;
  say "balanced: %b" (Atomic.get inits = Atomic.get exits)

(* The pool has a main of its own: the replacement is made in its dispatch. *)
let exit_thread_beside_a_main () =
  let main = Main.create () and pool = ref None in
  Pool.create_async ~main ~threads:1 ~init:ignore ~at_exit:ignore (fun r ->
      pool := Some (Result.get_ok r));
  while !pool = None do
    ignore (Main.wait main)
  done;
  let pool = Option.get !pool in
  let future = Pool.run ~main pool thread_exit in
  let behind = Pool.run ~main pool (fun () -> 42) in
  say "%s" (message future);
  say "the next task: %d" (Future.await behind);
  Pool.close pool

let exit_thread_in_init () =
  (match Pool.create ~threads:2 ~init:thread_exit ~at_exit:ignore () with
  | _ -> say "opened"
  | exception e -> say "%s" (Printexc.to_string e));
  say "alive"

let exit_thread_in_at_exit () =
  let pool = Pool.create ~threads:3 ~init:ignore ~at_exit:thread_exit () in
  Future.await (Pool.run pool ignore);
  Pool.close pool;
  say "closed"

(* Both at once: the task and the at_exit that follows. *)
let exit_thread_twice () =
  let pool = Pool.create ~threads:1 ~init:ignore ~at_exit:thread_exit () in
  ignore (message (Pool.run pool thread_exit));
  Future.await (Pool.run pool ignore);
  Pool.close pool;
  say "closed"

(* The replacement's init fails: the pool has no thread left, and says so. *)
let replacement_fails () =
  let inits = Atomic.make 0 and exits = Atomic.make 0 in
  let init () = if Atomic.fetch_and_add inits 1 > 0 then failwith "no second one" in
  let pool = Pool.create ~threads:1 ~init ~at_exit:(fun () -> Atomic.incr exits) () in
  ignore (message (Pool.run pool thread_exit));
  (match Future.outcome (Pool.run pool (fun () -> 1)) with
  | Value _ when is_ocaml_5 -> say "closed"
  | Closed -> say "closed"
  | _ -> say "neither run nor closed"
  | exception Weir.Closed -> say "closed");
  Pool.close pool;
  if is_ocaml_5 then say "no second one";
  say "balanced: %b" (Atomic.get exits = 1)

(* exit, stack overflow, the end of the process *)

let exit_in_a_task () =
  at_exit (fun () -> say "hook");
  let pool = plain 1 in
  for _ = 1 to 3 do
    say "%s" (message (Pool.run pool (fun () -> exit 7)))
  done;
  let pid = Unix.getpid () in
  ignore (Pool.run pool (fun () -> if Unix.getpid () <> pid then exit 7));
  Pool.close pool;
  exit 5

let exit_in_init_and_at_exit () =
  (match Pool.create ~threads:2 ~init:(fun () -> exit 7) ~at_exit:ignore () with
  | _ -> say "opened"
  | exception Failure text -> say "init: %s" text);
  let pool = Pool.create ~threads:2 ~init:ignore ~at_exit:(fun () -> exit 7) () in
  Pool.close pool;
  say "closed"

let rec deep n = 1 + deep (n + 1)

let overflow () =
  let pool = plain 2 in
  for _ = 1 to 4 do
    say "%s" (message (Pool.run pool (fun () -> deep 0)))
  done;
  say "alive: %d" (Future.await (Pool.run pool (fun () -> 1)));
  Pool.close pool

let overflow_in_init_and_at_exit () =
  (match Pool.create ~threads:2 ~init:(fun () -> deep 0) ~at_exit:ignore () with
  | _ -> say "opened"
  | exception Stack_overflow -> say "init overflowed");
  let pool = Pool.create ~threads:1 ~init:ignore ~at_exit:(fun () -> ignore (deep 0)) () in
  Pool.close pool;
  say "closed"

let process_ends () =
  let pool = Pool.create ~threads:2 ~init:ignore ~at_exit:(fun () -> say "at_exit ran") () in
  let hold = Hold.make () in
  ignore (Pool.run pool (Hold.task hold));
  Hold.until_it_runs hold;
  say "end of main"

let raising_everywhere () =
  let pool =
    Pool.create ~threads:2 ~init:ignore ~at_exit:(fun () -> failwith "at_exit raised") ()
  in
  ignore (message (Pool.run pool (fun () -> failwith "task")));
  Pool.close pool;
  say "closed"

(* Nobody holds the pool when its at_exit raises. *)
let raising_unheld () =
  (Weir.on_unhandled := fun u -> say "%s: %s" u.pool (Printexc.to_string u.exn));
  let may_end = Gate.make () and ended = Gate.make () in
  let at_exit () =
    Gate.enter may_end;
    raise Not_found
  in
  let start () =
    let pool = Pool.create ~name:"gone" ~threads:1 ~init:ignore ~at_exit () in
    Pool.close_async pool (fun () -> Gate.open_ ended)
  in
  start ();
  Gc.full_major ();
  Gate.open_ may_end;
  Gate.enter ended

(* The hook's own exception harms nobody. *)
let raising_hook () =
  (Weir.on_unhandled := fun _ -> failwith "hook raised");
  let pool = Pool.create ~threads:1 ~init:ignore ~at_exit:(fun () -> raise Not_found) () in
  Pool.close pool;
  say "closed"

(* Fork *)

let in_child f =
  flush_all ();
  match Unix.fork () with
  | 0 ->
      ignore (Unix.alarm 10);
      let code =
        try f ()
        with e ->
          prerr_endline (Printexc.to_string e);
          99
      in
      flush_all ();
      Unix._exit code
  | pid -> (
      match snd (Unix.waitpid [] pid) with
      | WEXITED code -> code
      | status -> failwith (describe status))

let fork_with_a_live_pool () =
  let main = Main.create () in
  let pool = plain 2 and hold = Hold.make () in
  let running = Pool.run ~main pool (Hold.task hold) in
  Hold.until_it_runs hold;
  let queued = Pool.run ~main pool ignore in
  let child () =
    (match Pool.run pool ignore with
    | _ -> say "ran in the child"
    | exception Failure text -> say "child: %b" (contains text "fork"));
    let told = ref 0 in
    List.iter (fun f -> Future.on_settle f (fun _ -> incr told)) [ running; queued ];
    while !told < 2 && Main.wait main > 0 do
      ()
    done;
    say "child: %d settled as closed" !told;
    Pool.close pool;
    let own = plain 1 in
    say "child: a pool of its own: %d" (Future.await (Pool.run own (fun () -> 6)));
    Pool.close own;
    0
  in
  say "child's code: %d" (in_child child);
  Hold.let_go hold;
  Future.await running;
  Future.await queued;
  say "parent: %d" (Future.await (Pool.run pool (fun () -> 8)));
  Pool.close pool

(* A child that keeps its loop turning must not take the parent's wake-ups. *)
let fork_and_keep_the_loop () =
  let main = Main.create () and pool = plain 2 in
  let n = 100_000 and told = ref 0 in
  let spin () =
    let rec turn () =
      ignore (Main.wait ~timeout:0.001 main);
      ignore (Main.dispatch main);
      turn ()
    in
    turn ()
  in
  flush_all ();
  match Unix.fork () with
  | 0 -> spin ()
  | child ->
      let rec lane i =
        if i > 0 then
          Future.on_settle (Pool.run ~main pool ignore) (fun _ ->
              incr told;
              lane (i - 1))
      in
      for _ = 1 to 50 do
        lane (n / 50)
      done;
      while !told < n do
        let r, _, _ = Unix.select [ Main.fd main ] [] [] 10. in
        if r = [] then failwith "a wake-up was lost";
        ignore (Main.dispatch main)
      done;
      Unix.kill child Sys.sigkill;
      ignore (Unix.waitpid [] child);
      say "parent received %d" !told;
      Pool.close pool

let fork_in_a_task () =
  let pool = plain 1 in
  let task () = in_child (fun () -> exit 4) in
  say "the child's exit: %d" (Future.await (Pool.run pool task));
  Pool.close pool

(* Commands that a task starts *)

let sleeper = [| "sleep"; "4" |]
let create () = Unix.create_process sleeper.(0) sleeper Unix.stdin Unix.stdout Unix.stderr
let fork () = match Unix.fork () with 0 -> Unix.execvp sleeper.(0) sleeper | pid -> pid
let opened () = Unix.process_in_pid (Unix.open_process_args_in "sleep" sleeper)

let ends_by_sigterm what pool start =
  let pid = Future.await (Pool.run pool start) in
  Unix.kill pid Sys.sigterm;
  say "%s: %b" what (snd (Unix.waitpid [] pid) = WSIGNALED Sys.sigterm)

let mask () = List.sort compare (Thread.sigmask SIG_BLOCK [])

let mask_after f =
  let before = mask () in
  (try Pool.spawning f with Exit -> ());
  mask () = before && before <> []

let commands () =
  let pool = plain 1 in
  ends_by_sigterm "forked" pool fork;
  ends_by_sigterm "created" pool (fun () -> Pool.spawning create);
  ends_by_sigterm "opened" pool (fun () -> Pool.spawning opened);
  let raises () = raise Exit in
  say "mask: %b" (Future.await (Pool.run pool (fun () -> mask_after ignore && mask_after raises)));
  say "elsewhere: %d" (Pool.spawning (fun () -> 5));
  Pool.close pool;
  if is_ocaml_5 then begin
    let pool = Pool.create ~kind:`Domains ~threads:1 ~init:ignore ~at_exit:ignore () in
    ends_by_sigterm "domain" pool (fun () -> Pool.spawning create);
    Pool.close pool
  end
  else say "domain: true"

(* Refusals by the system *)

let threads_refused () =
  become_ordinary ();
  let inits = Atomic.make 0 and exits = Atomic.make 0 in
  let init () = Atomic.incr inits and at_exit () = Atomic.incr exits in
  let refused = ref 0 in
  for _ = 1 to 3 do
    match Pool.create ~threads:64 ~init ~at_exit () with
    | pool -> Pool.close pool
    | exception (Sys_error _ | Failure _) -> incr refused
  done;
  say "refused %d of 3, balanced: %b" !refused (Atomic.get inits = Atomic.get exits)

let out_of_descriptors () =
  let pool = plain 1 in
  let rec fill acc =
    match Unix.openfile "/dev/null" [ O_RDONLY ] 0 with
    | fd -> fill (fd :: acc)
    | exception Unix.Unix_error (EMFILE, _, _) -> acc
  in
  let files = fill [] in
  (match Main.create () with
  | _ -> say "opened"
  | exception Unix.Unix_error (EMFILE, _, _) -> say "refused");
  say "a task still runs: %d" (Future.await (Pool.run pool (fun () -> 1)));
  List.iter Unix.close files;
  Main.close (Main.create ());
  say "and again a main";
  Pool.close pool

let domains () =
  if not is_ocaml_5 then say "parallel: true, sum 1000, alive"
  else begin
    let init () = Thread.id (Thread.self ()) in
    let pool = Pool.create ~kind:`Domains ~threads:2 ~init ~at_exit:ignore () in
    (* Each spins until the other runs, without a point where the runtime could switch. *)
    let met = Atomic.make 0 in
    let meet _ =
      Atomic.incr met;
      while Atomic.get met < 2 do
        ()
      done
    in
    List.iter Future.await (List.init 2 (fun _ -> Pool.run pool meet));
    let parts = List.init 1000 (fun _ -> Pool.run pool (fun _ -> 1)) in
    let sum = List.fold_left (fun n f -> n + Future.await f) 0 parts in
    Pool.close pool;
    say "parallel: %b, sum %d, alive" (Atomic.get met = 2) sum
  end

let scenarios =
  [
    ("thread-exit", exit_thread_in_tasks);
    ("thread-exit-one", exit_thread_only_one);
    ("thread-exit-main", exit_thread_beside_a_main);
    ("thread-exit-init", exit_thread_in_init);
    ("thread-exit-at-exit", exit_thread_in_at_exit);
    ("thread-exit-twice", exit_thread_twice);
    ("replacement-fails", replacement_fails);
    ("exit", exit_in_a_task);
    ("exit-init", exit_in_init_and_at_exit);
    ("overflow", overflow);
    ("overflow-init", overflow_in_init_and_at_exit);
    ("end", process_ends);
    ("raising", raising_everywhere);
    ("raising-unheld", raising_unheld);
    ("raising-hook", raising_hook);
    ("fork", fork_with_a_live_pool);
    ("fork-loop", fork_and_keep_the_loop);
    ("fork-task", fork_in_a_task);
    ("commands", commands);
    ("refused", threads_refused);
    ("descriptors", out_of_descriptors);
    ("domains", domains);
  ]

let exited = if is_ocaml_5 then "Exit" else "Thread.exit"
let small_stack = "export OCAMLRUNPARAM=l=200k; ulimit -s 1024"

let overflows =
  [
    scenario_test ~shell:small_stack "a stack overflow settles the task" "overflow"
      [ "Stack overflow"; "alive: 1" ];
    scenario_test ~shell:small_stack "a stack overflow in init and in at_exit" "overflow-init"
      [ "init overflowed"; "closed" ];
  ]

let () =
  main ~scenarios "ends"
    [
      ( "threads",
        [
          scenario_test "Thread.exit fails the task and is made good" "thread-exit"
            [ "failed 50, as many states given back: true"; "replaced enough: true" ];
          scenario_test "the only thread of a pool may exit" "thread-exit-one"
            [ exited; "the next task: 42"; "balanced: true" ];
          scenario_test "a pool with a main makes the new thread there" "thread-exit-main"
            [ exited; "the next task: 42" ];
          scenario_test "Thread.exit in init fails the open" "thread-exit-init"
            [ exited; "alive" ];
          scenario_test "Thread.exit in at_exit does not stop a close" "thread-exit-at-exit"
            [ "closed" ];
          scenario_test "Thread.exit in a task and in its at_exit" "thread-exit-twice"
            [ "closed" ];
          scenario_test "a replacement whose init fails closes an empty pool" "replacement-fails"
            [ "no second one"; "closed"; "balanced: true" ];
          scenario_test "an at_exit that raises is reported" "raising"
            [ "pool 'weir': uncaught exception in at_exit: Failure(\"at_exit raised\")"; "closed" ];
          scenario_test "also of a pool that nobody holds" "raising-unheld" [ "gone: Not_found" ];
          scenario_test "whatever the hook does" "raising-hook" [ "hook raised"; "closed" ];
          scenario_test "domains run tasks in parallel" "domains" [ "parallel: true, sum 1000" ];
        ] );
      ("overflows", if overflow_is_sound then overflows else []);
      ( "processes",
        [
          scenario_test ~status:(WEXITED 5)
            "exit in a task is an error, on the main thread it ends" "exit"
            [ "run_in_main"; "hook" ];
          scenario_test "exit in init fails the open, in at_exit it is reported" "exit-init"
            [ "init: exit called"; "uncaught exception"; "closed" ];
          scenario_test "the end of the process waits for nobody" "end" [ "end of main" ];
          scenario_test "after a fork the child's pools are dead, the parent's live" "fork"
            [ "child: true"; "child: 2 settled"; "of its own: 6"; "child's code: 0"; "parent: 8" ];
          scenario_test "a child's loop takes no wake-up from the parent" "fork-loop"
            [ "parent received 100000" ];
          scenario_test "a child forked in a task may exit" "fork-task" [ "the child's exit: 4" ];
          scenario_test "SIGTERM ends commands that a task starts" "commands"
            [
              "forked: true";
              "created: true";
              "opened: true";
              "mask: true";
              "elsewhere: 5";
              "domain: true";
            ];
        ] );
      ( "refusals",
        [
          scenario_test ~shell:few_threads "threads refused by the system"
            "refused"
            [ "refused 3 of 3, balanced: true" ];
          scenario_test ~shell:"ulimit -n 40" "out of descriptors" "descriptors"
            [ "refused"; "a task still runs: 1"; "and again a main" ];
        ] );
    ]
