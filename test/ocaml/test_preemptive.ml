(* SPDX-License-Identifier: ISC
   Weir_preemptive: the programs of preemptive.ml on Lwt_preemptive and on the door, and what
   only the door does. *)

open Lwt.Infix
open Support
module Door = Weir_preemptive

(* The programs of both *)

let expect_lines scenario lines () =
  let ending = run_scenario (Filename.quote scenario) in
  let printed = String.split_on_char '\n' (String.trim ending.output) in
  Alcotest.(check (list string)) "printed" lines printed;
  Alcotest.(check string) "ended" "exit 0" (describe ending.status)

let case of_ name lines =
  let scenario = of_ ^ ": " ^ name in
  Alcotest.test_case name `Quick (watched (expect_lines scenario lines))

let peers =
  List.map (fun (p : Preemptive_peer.program) -> (p.name, p.run, p.prints)) Preemptive_peer.programs

let doors =
  List.map (fun (p : Preemptive_door.program) -> (p.name, p.run, p.prints)) Preemptive_door.programs

let scenarios_of of_ = List.map (fun (name, run, _) -> (of_ ^ ": " ^ name, run))
let cases_of of_ = List.map (fun (name, _, lines) -> case of_ name lines)

(* The door alone *)

let invalid what f =
  match f () with
  | _ -> say "%s: nothing raised" what
  | exception Invalid_argument text -> say "%s: %s" what text

let refuses_the_wrong_thread () =
  Lwt_main.run (Door.detach ignore ());
  let elsewhere () = invalid "elsewhere" (fun () -> Door.detach ignore ()) in
  Thread.join (Thread.create elsewhere ());
  invalid "on the loop's" (fun () -> Door.run_in_main Lwt.return)

let is_seen () =
  Lwt_main.run (Door.detach ignore ());
  let pool = Door.pool () in
  say "%s: %d ran" (Weir.Pool.name pool) (Weir.Pool.stats pool).ok;
  Door.set_bounds (0, 5_000);
  say "%d threads at most" (Weir.Pool.options pool).threads_max;
  say "%d allowed" (snd (Door.get_bounds ()))

(* Without a call that wakes them, as Lwt's would need. *)
let higher_bounds () =
  Door.init 0 1 ignore;
  let holds = List.init 2 (fun _ -> Hold.make ()) in
  let held = List.map (fun hold -> Door.detach (Hold.task hold) ()) holds in
  Hold.until_it_runs (List.hd holds);
  Door.set_bounds (0, 2);
  List.iter Hold.until_it_runs holds;
  say "both run";
  List.iter Hold.let_go holds;
  Lwt_main.run (Lwt.join held)

let asked_to_stop () =
  let runs = Gate.make () in
  let loop () =
    Gate.open_ runs;
    until Weir.Pool.cancel_requested;
    say "stops"
  in
  let running = Door.detach loop () in
  Gate.enter runs;
  Lwt.cancel running;
  Lwt_main.run running

(* Lwt's threads stay behind, and its child waits for them. *)
let fork_later () =
  Door.init 1 2 ignore;
  Lwt_main.run (Door.detach ignore ());
  flush_all ();
  match Lwt_unix.fork () with
  | 0 ->
      say "child: %d threads" (Door.nbthreads ());
      Lwt_main.run (Door.detach (fun () -> say "child: ran") ());
      say "child: %d threads" (Door.nbthreads ());
      exit 3
  | child -> (
      match Unix.waitpid [] child with
      | _, WEXITED 3 -> Lwt_main.run (Door.detach (fun () -> say "parent: ran") ())
      | _ -> say "the child failed")

let thread_exit () =
  let ended =
    Lwt.catch
      (fun () -> Door.detach (fun () -> (Thread.exit [@ocaml.warning "-3"]) ()) ())
      (fun _ -> Lwt.return (say "rejected"))
  in
  Lwt_main.run (ended >>= Door.detach (fun () -> say "the next ran"))

let alone =
  [
    ( "the wrong thread is refused",
      refuses_the_wrong_thread,
      [
        "elsewhere: Lwt_preemptive.detach: not on the thread that runs the loop; go there with \
         run_in_main";
        "on the loop's: Lwt_preemptive.run_in_main: on the loop's thread, which would wait for \
         itself";
      ] );
    ( "the pool is seen",
      is_seen,
      [ "preemptive: 1 ran"; "1024 threads at most"; "5000 allowed" ] );
    ("a higher maximum starts who waits", higher_bounds, [ "both run" ]);
    ("a running call is asked to stop", asked_to_stop, [ "stops" ]);
    ( "a child of fork has a pool of its own",
      fork_later,
      [ "child: 0 threads"; "child: ran"; "child: 1 threads"; "parent: ran" ] );
    ("Thread.exit rejects", thread_exit, [ "rejected"; "the next ran" ]);
  ]

let () =
  Support.main "weir-lwt.preemptive"
    ~scenarios:
      (scenarios_of "lwt" peers @ scenarios_of "weir" doors @ scenarios_of "weir" alone)
    [
      ("Lwt_preemptive", cases_of "lwt" peers);
      ("Weir_preemptive", cases_of "weir" doors);
      ("Weir_preemptive alone", cases_of "weir" alone);
    ]
