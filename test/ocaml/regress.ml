(* SPDX-License-Identifier: ISC
   The thirteen bugs of the original mwt, by the numbers of the list in
   lwt_glue/README.md. Each of these tests hangs, leaks or fails with the original. *)

open Lwt.Infix
open Support
open Lwt_support

exception Own

let closed_run = is_invalid ~naming:"Mwt.run"
let check_int = Alcotest.(check int)

(* 1: the result is there, the loop has not turned since. *)
let close_before_delivery () =
  mwt 1 >>= fun pool ->
  let task = Mwt.run pool ignore in
  ignore (Unix.select [ Weir.Main.fd (Weir_lwt.main ()) ] [] [] (-1.));
  Mwt.close pool >>= fun () -> task

(* 2 *)
let close_with_queued_runs () =
  mwt 1 >>= fun pool ->
  let hold = Hold.make () in
  let running = Mwt.run pool (Hold.task hold) in
  let queued = List.init 3 (fun _ -> Mwt.run pool ignore) in
  wait_here hold;
  let closed = Mwt.close pool in
  Hold.let_go hold;
  Lwt_list.iter_s (check_rejected "queued" closed_run) queued >>= fun () ->
  running >>= fun () -> closed

(* 3 *)
let close_again () =
  mwt 2 >>= fun pool ->
  Mwt.close_async pool;
  Mwt.close_async pool;
  let both = [ Mwt.close pool; Mwt.close pool ] in
  Lwt.join both >>= fun () ->
  Mwt.close pool >>= fun () ->
  Mwt.close_async pool;
  Mwt.close pool

(* 4 *)
let at_exit_raises () =
  let calls = Atomic.make 0 in
  let at_exit () =
    Atomic.incr calls;
    raise Own
  in
  mwt ~at_exit 3 >>= fun pool ->
  Mwt.close pool >|= fun () -> check_int "once per thread" 3 (Atomic.get calls)

(* 5 *)
let init_fails () =
  let started = Atomic.make 0 and ended = Atomic.make 0 in
  let init () = if Atomic.fetch_and_add started 1 = 1 then raise Own in
  let at_exit () = Atomic.incr ended in
  check_rejected "make" (( == ) Own) (mwt ~init ~at_exit 3) >|= fun () ->
  check_int "the others gave their state back" 2 (Atomic.get ended)

(* 6 *)
let run_in_main_on_main () =
  raises_invalid ~naming:"Mwt.run_in_main" (fun () -> Mwt.run_in_main Lwt.return);
  Lwt.return_unit

(* 7: a thread that computes would get the runtime if the loop gave it up. *)
let never_blocks_the_loop () =
  mwt 1 >>= fun pool ->
  let count = Atomic.make 0 and stop = Atomic.make false in
  let compute () =
    while not (Atomic.get stop) do
      Atomic.incr count;
      ignore (Sys.opaque_identity (ref 0))
    done
  in
  let thread = Thread.create compute () in
  let gave_up = ref 0 in
  let undisturbed f =
    let before = Atomic.get count in
    let x = f () in
    if Atomic.get count <> before then incr gave_up;
    x
  in
  let tasks = List.init 20 (fun _ -> undisturbed (fun () -> Mwt.run pool ignore)) in
  Lwt.join tasks >>= fun () ->
  undisturbed (fun () -> Mwt.close_async pool);
  Mwt.close pool >|= fun () ->
  Atomic.set stop true;
  Thread.join thread;
  (* The runtime's own 50 ms may have passed inside one of them. On OCaml 5 a program
     with a single domain behaves the same. *)
  if !gave_up > 5 then Alcotest.failf "the loop gave the runtime up in %d of 21 calls" !gave_up

(* 8: no loop turns between two of Lwt_main.run. *)
let across_two_loops () =
  let pool = Lwt_main.run (mwt 1) in
  let task = Mwt.run pool (fun () -> Mwt.run_in_main (fun () -> Lwt.return 5)) in
  let quick = Mwt.run pool (fun () -> 6) in
  check_int "called back" 5 (Lwt_main.run task);
  check_int "resolved" 6 (Lwt_main.run quick);
  Lwt_main.run (Mwt.close pool)

(* 9 *)
let wrong_thread () =
  mwt 1 >>= fun pool ->
  let task () =
    raises_invalid ~naming:"Mwt.run" (fun () -> Mwt.run pool ignore);
    raises_invalid ~naming:"run_in_main" (fun () -> Mwt.run pool ignore);
    raises_invalid ~naming:"Mwt.close" (fun () -> Mwt.close pool);
    raises_invalid ~naming:"Mwt.close_async" (fun () -> Mwt.close_async pool);
    raises_invalid ~naming:"Mwt.make" (fun () -> mwt 1)
  in
  Mwt.run pool task >>= fun () -> Mwt.close pool

(* 10 *)
let threads_refused () =
  if Unix.geteuid () = 0 then begin
    Unix.setgid 61_234;
    Unix.setuid (61_000 + (Unix.getpid () mod 4_000))
  end;
  let inits = Atomic.make 0 and exits = Atomic.make 0 in
  let init () = Atomic.incr inits and at_exit () = Atomic.incr exits in
  let refused = Lwt_main.run (rejection (mwt ~init ~at_exit 64)) in
  let is_system's = match refused with Sys_error _ | Failure _ -> true | _ -> false in
  say "refused: %b, balanced: %b" is_system's (Atomic.get inits = Atomic.get exits)

(* 11 *)
let run_against_close () =
  let settle promise =
    Lwt.try_bind
      (fun () -> promise)
      Lwt.return
      (fun exn -> if closed_run exn then Lwt.return_unit else Lwt.fail exn)
  in
  let round i =
    mwt 2 >>= fun pool ->
    let before = List.init i (fun _ -> Mwt.run pool ignore) in
    Mwt.close_async pool;
    let after = List.init i (fun _ -> Mwt.run pool (fun () -> Alcotest.fail "ran")) in
    Lwt_list.iter_s (check_rejected "after" closed_run) after >>= fun () ->
    Lwt_list.iter_s settle before >>= fun () -> Mwt.close pool
  in
  Lwt_list.iter_s round (List.init 30 Fun.id)

(* 12 *)
let thread_exit () =
  mwt 1 >>= fun pool ->
  let exit_thread () = (Thread.exit [@ocaml.warning "-3"]) () in
  rejection (Mwt.run pool exit_thread) >>= fun _ ->
  Mwt.run pool (fun () -> 3) >>= fun n ->
  check_int "the pool has a thread" 3 n;
  Mwt.close pool

(* 13 *)
let forked () =
  let pool = Lwt_main.run (mwt 1) in
  let hold = Hold.make () in
  let running = Mwt.run pool (Hold.task hold) in
  wait_here hold;
  flush_all ();
  (match Lwt_unix.fork () with
  | 0 ->
      ignore (Unix.alarm 10);
      let refused = Lwt_main.run (rejection (Mwt.run pool ignore)) in
      say "child's run: %s" (Printexc.to_string refused);
      let old = Lwt_main.run (rejection running) in
      say "child's old run: %s" (Printexc.to_string old);
      Lwt_main.run (Mwt.close pool);
      say "child closed";
      flush_all ();
      Unix._exit 0
  | child -> ignore (Unix.waitpid [] child));
  Hold.let_go hold;
  Lwt_main.run running;
  Lwt_main.run (Mwt.close pool);
  say "parent closed"

let () =
  main "regress"
    ~scenarios:[ ("refused", threads_refused); ("forked", forked) ]
    [
      ( "mwt",
        [
          test "1 close ends although a result was not delivered" close_before_delivery;
          test "2 close ends with runs in line" close_with_queued_runs;
          test "3 close ends after close and close_async" close_again;
          test "4 close ends when at_exit raises, which runs once" at_exit_raises;
          test "5 an init that fails leaks no other thread" init_fails;
          test "6 run_in_main on the main thread is an error" run_in_main_on_main;
          test "7 run and close_async never give the runtime up" never_blocks_the_loop;
          Support.test "8 tasks and calls outlast the end of a loop" across_two_loops;
          test "9 other threads are told to use run_in_main" wrong_thread;
          scenario_test ~shell:"prlimit --pid $$ --nproc=20" "10 a refused thread leaks no other"
            "refused"
            [ "refused: true, balanced: true" ];
          test "11 run against close_async always settles" run_against_close;
          test "12 Thread.exit rejects the run and costs no thread" thread_exit;
          scenario_test "13 a child's runs are rejected, the parent's go on" "forked"
            [
              "fork";
              "child's old run: Invalid_argument(\"Mwt.run\")";
              "child closed";
              "parent closed";
            ];
        ] );
    ]
