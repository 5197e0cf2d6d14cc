(* SPDX-License-Identifier: ISC
   Lwt programs that end, or whose tasks would end them. Each test is a process. *)

open Lwt.Infix
open Support
open Lwt_support

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

let () =
  main "lwt_ends"
    ~scenarios:
      [
        ("exit", exit_with_hook);
        ("reject", fun () -> close_at_exit `Reject);
        ("drain", fun () -> close_at_exit `Drain);
        ("open", left_open);
        ("overflow", overflow);
        ("fork-loop", fork_loop);
        ("engine", engine_without_transfer);
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
          scenario_test "a pool left open keeps no process" "open" [ "main ends" ];
          scenario_test ~shell:"export OCAMLRUNPARAM=l=200k; ulimit -s 1024"
            "a stack overflow rejects the run" "overflow" [ "Stack overflow" ];
          scenario_test "a child's loop takes no wake-up from the parent" "fork-loop"
            [ "parent received 100000" ];
          scenario_test "a new engine without the old one's watches" "engine" [ "ran 5" ];
        ] );
    ]
