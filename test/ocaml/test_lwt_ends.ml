(* SPDX-License-Identifier: ISC
   Lwt programs that end, or whose tasks would end them. Each test is a process. *)

open Lwt.Infix
open Support
open Lwt_support

exception Own

let message promise = rejection promise >|= Printexc.to_string

(* Lwt's own hook would run the loop on the worker, and abort in libev. *)
let exit_with_hook () =
  Lwt_main.at_exit (fun () -> Lwt_unix.sleep 0.001 >|= fun () -> say "hook ran");
  let body () =
    mwt 1 >>= fun pool ->
    message (Mwt.run pool (fun () -> exit 9)) >>= fun text ->
    say "%s" text;
    Mwt.run pool (fun () -> Mwt.run_in_main (fun () -> exit 6))
  in
  Lwt_main.run (body ())

let close_at_exit mode =
  let body () =
    let at_exit () = say "at_exit" in
    Weir_lwt.create ~close_at_exit:mode ~threads:1 ~init:ignore ~at_exit () >>= fun pool ->
    let hold = Hold.make () in
    let running = Weir_lwt.run pool (Hold.task hold) in
    let queued = Weir_lwt.run pool (fun () -> say "queued one ran") in
    Lwt.on_any queued ignore (fun exn -> say "queued: %s" (Printexc.to_string exn));
    Hold.until_it_runs hold;
    Lwt_main.at_exit (fun () ->
        Hold.let_go hold;
        Lwt.return_unit);
    ignore running;
    Lwt.return_unit
  in
  Lwt_main.run (body ());
  say "main ends"

(* Whose thread has retired, one that was never used, one whose task is queued. *)
let close_lazily_at_exit () =
  let create () =
    Weir_lwt.create ~idle:1e-9 ~close_at_exit:`Drain ~threads_max:1 ~threads:0 ~init:ignore
      ~at_exit:(fun () -> say "at_exit")
      ()
  in
  let body () =
    create () >>= fun used ->
    Weir_lwt.run used ignore >>= fun () ->
    until (fun () -> (Weir_lwt.stats used).threads = 0);
    create () >>= fun _ ->
    create () >|= fun pool -> ignore (Weir_lwt.run pool (fun () -> say "queued one ran"))
  in
  Lwt_main.run (body ());
  say "main ends"

(* The task that calls would wait for a function that never returns. *)
let exit_in_a_call mode =
  let body () =
    let at_exit () = say "state gone" in
    Weir_lwt.create ~close_at_exit:mode ~threads:2 ~init:ignore ~at_exit () >>= fun pool ->
    Weir_lwt.run pool (fun () ->
        try Weir_lwt.run_in_main (fun () -> exit 7) with Weir.Closed -> say "caller let go")
  in
  Lwt_main.run (body ())

(* The same without Lwt's hooks: the program's own closes the pool. *)
let exit_in_a_plain_call () =
  let main = Weir.Main.create () and pool = ref None in
  at_exit (fun () -> Weir.Pool.close (Option.get !pool));
  pool := Some (Weir.Pool.create ~threads:1 ~init:ignore ~at_exit:(fun () -> say "state gone") ());
  let call () =
    try Weir.Main.run_in ~main (fun () -> exit 7) with Weir.Closed -> say "caller let go"
  in
  Weir.Future.await (Weir.Pool.run (Option.get !pool) call)

(* SIGTERM is handled, and one task never ends. *)
let stuck ?exit_within () =
  let body () =
    Weir_lwt.create ~name:"slow" ~close_at_exit:`Drain ?exit_within ~threads:1 ~init:ignore
      ~at_exit:ignore ()
    >>= fun pool ->
    let hold = Hold.make () in
    let running = Weir_lwt.run ~label:"import" pool (Hold.task hold) in
    let queued = Weir_lwt.run pool ignore in
    Hold.until_it_runs hold;
    ignore (Lwt_unix.on_signal Sys.sigterm (fun _ -> exit 0));
    Unix.kill (Unix.getpid ()) Sys.sigterm;
    Lwt.join [ running; queued ]
  in
  Lwt_main.run (body ())

(* A task that fails after its promise has ended is reported by its label. *)
let fails_late () =
  let body () =
    weir ~name:"db" 1 >>= fun pool ->
    let hold = Hold.make () in
    let task () = Hold.task hold (); failwith "late" in
    let promise = Weir_lwt.run ~label:"import" pool task in
    Hold.until_it_runs hold;
    Lwt.cancel promise;
    Hold.let_go hold;
    Weir_lwt.run pool ignore >>= fun () -> Weir_lwt.close pool
  in
  Lwt_main.run (body ())

let raising_at_exit () =
  let body () =
    let at_exit () = raise Own in
    Weir_lwt.create ~name:"sad" ~close_at_exit:`Reject ~threads:1 ~init:ignore ~at_exit ()
    >|= ignore
  in
  Lwt_main.run (body ())

let left_open () =
  let body () =
    Weir_lwt.create ~threads:2 ~init:ignore ~at_exit:(fun () -> say "at_exit") () >>= fun pool ->
    let hold = Hold.make () in
    ignore (Weir_lwt.run pool (Hold.task hold));
    Hold.until_it_runs hold;
    Lwt.return_unit
  in
  Lwt_main.run (body ());
  say "main ends"

(* What Lwt's hook raises leaves Lwt_main.run, as it does out of Lwt_unix.sleep. *)
let raising_hook () =
  let hooked = ref 0 in
  let hook exn =
    incr hooked;
    raise exn
  in
  Lwt.async_exception_hook := hook;
  let leaves what start =
    Lwt.async (fun () -> start () >>= fun () -> raise Own);
    match Lwt_main.run (fst (Lwt.wait ())) with
    | () -> ()
    | exception exn -> say "%s left the loop: %b" what (exn == Own)
  in
  leaves "sleep" (fun () -> Lwt_unix.sleep 0.001);
  let pool = Lwt_main.run (weir 1) in
  leaves "run" (fun () -> Weir_lwt.run pool ignore);
  leaves "a rejection" (fun () ->
      Lwt.catch (fun () -> Weir_lwt.run pool (fun () -> failwith "")) (fun _ -> Lwt.return_unit));
  leaves "make" (fun () -> mwt 1 >>= Mwt.close);
  leaves "create" (fun () -> weir 1 >|= ignore);
  leaves "timeout" (fun () ->
      let hold = Hold.make () in
      Lwt.catch
        (fun () -> Weir_lwt.run ~timeout:0.001 pool (Hold.task hold))
        (fun _ -> Lwt.return (Hold.let_go hold)));
  leaves "a callback" (fun () ->
      let future = Weir.Pool.run ~main:(Weir_lwt.main ()) (Weir_lwt.pool pool) ignore in
      Weir.Future.on_settle future (fun _ -> raise Own);
      fst (Lwt.wait ()));
  let many = List.init 3 (fun i -> Weir_lwt.run pool (fun () -> i)) in
  until (fun () -> (Weir_lwt.stats pool).running + (Weir_lwt.stats pool).queued = 0);
  leaves "the first of three" (fun () -> List.hd many >|= ignore);
  say "the others: %d" (List.fold_left ( + ) 0 (Lwt_main.run (Lwt.all many)));
  leaves "close" (fun () -> Weir_lwt.close pool);
  say "hook: %d" !hooked

(* From Lwt 6 on its filter lets Stack_overflow pass without the hook; then only exit hooks
   may run a loop. *)
let let_through start =
  let pool = Lwt_main.run (weir 1) in
  Lwt_main.at_exit (fun () -> Weir_lwt.run pool (fun () -> 3) >|= say "afterwards: %d");
  match Lwt_main.run (start pool) with
  | () -> say "stayed in the loop"
  | exception Stack_overflow -> say "left the loop"

let raising_continuation pool =
  Lwt.async_exception_hook := raise;
  Lwt.async (fun () -> Weir_lwt.run pool ignore >>= fun () -> raise Stack_overflow);
  fst (Lwt.wait ())

let raising_call pool =
  let overflow () = raise Stack_overflow in
  Weir_lwt.run pool (fun () ->
      try Weir_lwt.run_in_main overflow with Stack_overflow -> say "the caller heard of it")

(* exit runs Lwt's hooks under a callback whose batch holds what they wait for. *)
let exit_in_a_batch () =
  let pool = Lwt_main.run (weir 1) in
  let first = Weir_lwt.run pool ignore and second = Weir_lwt.run pool ignore in
  until (fun () -> (Weir_lwt.stats pool).ok = 2);
  Lwt_main.at_exit (fun () -> second >|= fun () -> say "the second is there");
  Lwt_main.run (first >>= fun () -> exit 4)

let rec deep n = 1 + deep (n + 1)

let overflow () =
  let body () =
    mwt 1 >>= fun pool ->
    message (Mwt.run pool (fun () -> deep 0)) >>= fun text ->
    say "%s" text;
    Mwt.close pool
  in
  Lwt_main.run (body ())

(* The child keeps its loop, in Lwt's way, while the parent works. *)
let fork_loop () =
  let pool = Lwt_main.run (mwt 2) in
  flush_all ();
  match Lwt_unix.fork () with
  | 0 -> Lwt_main.run (fst (Lwt.wait ()))
  | child ->
      let n = 100_000 and told = ref 0 in
      let rec lane i =
        if i = 0 then Lwt.return_unit
        else
          Mwt.run pool ignore >>= fun () ->
          incr told;
          lane (i - 1)
      in
      Lwt_main.run (Lwt.join (List.init 50 (fun _ -> lane (n / 50))));
      Unix.kill child Sys.sigkill;
      ignore (Unix.waitpid [] child);
      Lwt_main.run (Mwt.close pool);
      say "parent received %d" !told

(* The old engine keeps our watch to itself. *)
let engine_without_transfer () =
  let body () =
    mwt 1 >>= fun pool ->
    Lwt_engine.set ~transfer:false ~destroy:false (new Lwt_engine.select);
    Mwt.run pool (fun () -> 5) >>= fun n ->
    say "ran %d" n;
    Mwt.close pool
  in
  Lwt_main.run (body ())

let all_left =
  let left what = what ^ " left the loop: true" in
  let ways =
    [ "sleep"; "run"; "a rejection"; "make"; "create"; "timeout"; "a callback";
      "the first of three"; "close" ]
  in
  List.map left ways @ [ "the others: 3"; "hook: 9" ]

let let_go = [ "caller let go"; "state gone" ]
let without_it = [ "ends without pool 'slow': 1 of its tasks run (import), 1 are queued" ]

let overflows =
  [
    scenario_test ~shell:"export OCAMLRUNPARAM=l=200k; ulimit -s 1024"
      "a stack overflow rejects the run" "overflow" [ "Stack overflow" ];
  ]

(* No thread has made the loop known. *)
let call_before_any_pool () =
  match Weir_lwt.run_in_main Lwt.return with
  | () -> say "called"
  | exception Invalid_argument text -> say "%s" text

let () =
  main "lwt_ends"
    ~scenarios:
      [
        ("exit", exit_with_hook);
        ("reject", fun () -> close_at_exit `Reject);
        ("drain", fun () -> close_at_exit `Drain);
        ("lazy", close_lazily_at_exit);
        ("open", left_open);
        ("call-before", call_before_any_pool);
        ("raising", raising_at_exit);
        ("late", fails_late);
        ("call-reject", fun () -> exit_in_a_call `Reject);
        ("call-drain", fun () -> exit_in_a_call `Drain);
        ("call-plain", exit_in_a_plain_call);
        ("stuck", fun () -> stuck ());
        ("stuck-within", fun () -> stuck ~exit_within:0.01 ());
        ("overflow", overflow);
        ("fork-loop", fork_loop);
        ("engine", engine_without_transfer);
        ("hook", raising_hook);
        ("filter", fun () -> let_through raising_continuation);
        ("filter-call", fun () -> let_through raising_call);
        ("exit-batch", exit_in_a_batch);
      ]
    [
      ( "ends",
        [
          scenario_test ~status:(WEXITED 6) "exit in a task with a Lwt_main.at_exit hook" "exit"
            [ "run_in_main"; "hook ran" ];
          scenario_test "close_at_exit rejects" "reject"
            [ "queued: Weir.Closed"; "main ends"; "at_exit" ];
          scenario_test "close_at_exit drains" "drain"
            [ "main ends"; "queued one ran"; "at_exit" ];
          scenario_test "so does it with pools that have no thread" "lazy"
            [ "at_exit\nmain ends\nqueued one ran\nat_exit" ];
          scenario_test "a pool left open keeps no process" "open" [ "main ends" ];
          scenario_test "a task that fails late is told by its label" "late"
            [ "pool 'db': uncaught exception in task 'import', given up: Failure(\"late\")" ];
          scenario_test "an at_exit that raises is told at the end of the program" "raising"
            [ "pool 'sad': uncaught exception in at_exit" ];
          scenario_test ~status:(WEXITED 7) "exit in run_in_main with close_at_exit, reject"
            "call-reject" let_go;
          scenario_test ~status:(WEXITED 7) "exit in run_in_main with close_at_exit, drain"
            "call-drain" let_go;
          scenario_test ~status:(WEXITED 7) "exit in run_in_main, closed by the program's hook"
            "call-plain" let_go;
          scenario_test "a handled SIGTERM ends a program with a stuck task" "stuck" without_it;
          scenario_test "and within the time that the option names" "stuck-within" without_it;
          scenario_test "a child's loop takes no wake-up from the parent" "fork-loop"
            [ "parent received 100000" ];
          scenario_test "a call before any pool names the cure" "call-before"
            [ "Weir_lwt.run_in_main"; "Weir_lwt.main ()" ];
          scenario_test "a new engine without the old one's watches" "engine" [ "ran 5" ];
          scenario_test "what Lwt's hook raises leaves Lwt_main.run, the loop lives on"
            "hook" all_left;
          scenario_test "what Lwt's filter lets through likewise" "filter"
            [ "left the loop"; "afterwards: 3" ];
          scenario_test "also out of run_in_main, whose caller is told" "filter-call"
            [
              "the caller heard of it";
              (if filters then "left the loop" else "stayed in the loop");
              "afterwards: 3";
            ];
          scenario_test ~status:(WEXITED 4) "exit hooks get what came with the one that exits"
            "exit-batch" [ "the second is there" ];
        ] );
      ("overflows", if overflow_is_sound then overflows else []);
    ]
