(* SPDX-License-Identifier: ISC
   What Lwt_preemptive does, learned from its code and its tests. This file is compiled twice:
   as it stands, and with -open Weir_preemptive. Each program below is a process of its own,
   because the module has one state for the process. It prints the lines that stand beside it. *)

open Lwt.Infix
open Support

(* Lwt has it from 5.7 on. *)
let absent (_ : unit -> unit Lwt.t) (_ : exn -> unit) : unit = assert false

module Lwt_preemptive = struct
  let run_in_main_dont_wait = absent [@@ocaml.warning "-32"]

  include Lwt_preemptive
end

module P = Lwt_preemptive

exception Own of int

let run body = Lwt_main.run (body ())
let self () = Thread.id (Thread.self ())

let counts what =
  say "%s: %d threads, %d busy, %d queued" what (P.nbthreads ()) (P.nbthreadsbusy ())
    (P.nbthreadsqueued ())

let invalid what f =
  match f () with
  | _ -> say "%s: accepted" what
  | exception Invalid_argument text ->
      let name = "Lwt_preemptive." ^ what in
      say "%s: refused by name: %b" what (contains text name)

let outcome what promise =
  Lwt.try_bind
    (fun () -> promise)
    (fun x -> Lwt.return (say "%s: %d" what x))
    (fun exn -> Lwt.return (say "%s: %s" what (Printexc.to_string exn)))

let is_pending promise = match Lwt.state promise with Lwt.Sleep -> true | Return _ | Fail _ -> false

let hold () =
  let hold = Hold.make () in
  (hold, P.detach (Hold.task hold) ())

(* Detach *)

let another_thread () =
  run (fun () ->
      P.detach (fun x -> (x, self ())) 7 >|= fun (x, thread) ->
      say "%d, on this thread: %b" x (thread = self ()))

let exceptions () =
  let exn = Own 1 in
  run (fun () ->
      Lwt.catch (fun () -> P.detach raise exn) (fun e -> Lwt.return (say "same: %b" (e == exn)))
      >>= fun () -> outcome "the thread lives on" (P.detach succ 1))

(* Its documentation says that detach sleeps when the queue is full. *)
let no_limit () =
  P.init 0 1 ignore;
  P.set_max_number_of_threads_queued 1;
  run (fun () ->
      let held, first = hold () and order = ref [] in
      let rest = List.init 50 (fun i -> P.detach (fun () -> order := i :: !order) ()) in
      counts "held";
      Hold.let_go held;
      Lwt.join (first :: rest) >|= fun () ->
      say "in order: %b" (List.rev !order = List.init 50 Fun.id);
      say "kept: %d" (P.get_max_number_of_threads_queued ()))

let without_a_loop () =
  let gate = Gate.make () in
  let promise = P.detach Gate.open_ gate in
  Gate.enter gate;
  say "it ran, and is told: %b" (not (is_pending promise));
  Lwt_main.run promise;
  say "told"

let program_ends () =
  at_exit (fun () -> say "at_exit");
  run (fun () ->
      let held, _ = hold () in
      Lwt.return (Hold.until_it_runs held));
  say "main ends"

let many () =
  run (fun () ->
      let sum = ref 0 in
      let one i = P.detach Fun.id i >|= fun i -> sum := !sum + i in
      Lwt_list.iter_p one (List.init 10_000 Fun.id) >|= fun () -> say "sum: %d" !sum)

let key = Lwt.new_key ()

let keys () =
  let seen what = say "%s: %s" what (Option.value ~default:"none" (Lwt.get key)) in
  run (fun () ->
      Lwt.with_value key (Some "mine") (fun () ->
          P.detach (fun () -> P.run_in_main (fun () -> Lwt.return (seen "in main"))) ()
          >|= fun () -> seen "afterwards"))

(* Bounds *)

let bounds what =
  let min, max = P.get_bounds () in
  say "%s: %d to %d" what min max

let first_bounds () =
  bounds "in the beginning";
  P.set_bounds (0, 9);
  bounds "set";
  run (fun () -> P.detach ignore ());
  bounds "after the first detach";
  P.set_bounds (0, 7);
  P.simple_init ();
  run (fun () -> P.detach ignore ());
  bounds "set later"

let init_bounds () =
  P.init 1 3 ignore;
  run (fun () -> P.detach ignore ());
  bounds "after a detach";
  P.init 0 2 ignore;
  bounds "again"

let bad_bounds () =
  invalid "set_bounds" (fun () -> P.set_bounds (-1, 1));
  invalid "set_bounds" (fun () -> P.set_bounds (2, 1));
  say "limit: %d" (P.get_max_number_of_threads_queued ());
  invalid "set_max_number_of_threads_queued" (fun () -> P.set_max_number_of_threads_queued (-1));
  invalid "set_max_number_of_threads_queued" (fun () -> P.set_max_number_of_threads_queued 0);
  bounds "left"

let least_threads () =
  counts "none";
  P.init 3 5 ignore;
  counts "three";
  P.set_bounds (4, 5);
  counts "four"

let counted () =
  P.init 0 2 ignore;
  run (fun () ->
      let holds = List.init 5 (fun _ -> hold ()) in
      counts "at once";
      List.iteri (fun i (held, _) -> if i < 2 then Hold.until_it_runs held) holds;
      counts "running";
      List.iter (fun (held, _) -> Hold.let_go held) holds;
      Lwt.join (List.map snd holds) >|= fun () -> counts "afterwards")

let four_meet () =
  let here = Atomic.make 0 in
  let meet _ =
    Atomic.incr here;
    until (fun () -> Atomic.get here = 4)
  in
  run (fun () -> Lwt.join (List.init 4 (P.detach meet)));
  counts "afterwards"

let fewer () =
  run (fun () ->
      let holds = List.init 3 (fun _ -> hold ()) in
      List.iter (fun (held, _) -> Hold.until_it_runs held) holds;
      P.set_bounds (0, 1);
      List.iter (fun (held, _) -> Hold.let_go held) holds;
      Lwt.join (List.map snd holds) >>= fun () ->
      until (fun () -> P.nbthreads () <= 1);
      say "at most one is left";
      outcome "and works" (P.detach succ 1))

let none_then_one () =
  P.init 0 0 ignore;
  run (fun () ->
      let first = P.detach (fun () -> say "first") () in
      let second = P.detach (fun () -> say "second") () in
      counts "none";
      P.set_bounds (1, 1);
      Lwt.join [ first; second ])

(* Cancel *)

let cancel_queued () =
  P.init 0 1 ignore;
  run (fun () ->
      let held, running = hold () in
      let never () =
        say "never";
        1
      in
      let queued = P.detach never () in
      let last = P.detach succ 1 in
      Lwt.cancel queued;
      outcome "queued" queued >>= fun () ->
      counts "left";
      Hold.let_go held;
      running >>= fun () -> outcome "the last" last)

let cancel_running () =
  run (fun () ->
      let held = Hold.make () in
      let work () =
        Hold.task held ();
        8
      in
      let running = P.detach work () in
      Hold.until_it_runs held;
      Lwt.cancel running;
      say "pending: %b" (is_pending running);
      Hold.let_go held;
      outcome "running" running)

let cancel_ended () =
  run (fun () ->
      let ran = Gate.make () in
      let work () =
        Gate.open_ ran;
        9
      in
      let ended = P.detach work () in
      Gate.enter ran;
      Lwt.cancel ended;
      say "pending: %b" (is_pending ended);
      outcome "ended" ended)

(* Into the loop *)

let in_main () =
  let loop = self () in
  let call () =
    P.run_in_main (fun () ->
        let thread = self () in
        Lwt_unix.sleep 0.001 >>= fun () ->
        Lwt.pause () >|= fun () -> thread)
  in
  let caught f = try P.run_in_main f with Own n -> n in
  run (fun () ->
      P.detach call () >>= fun thread ->
      say "on the loop's thread: %b" (thread = loop);
      outcome "raised" (P.detach caught (fun () -> raise (Own 3))) >>= fun () ->
      outcome "rejected"
        (P.detach caught (fun () -> Lwt.pause () >>= fun () -> Lwt.fail (Own 4))))

let in_main_detaches () =
  run (fun () ->
      outcome "waited for" (P.detach (fun () -> 1 + P.run_in_main (fun () -> P.detach succ 1)) ()))

(* The one thread starts a call for which it does not wait. *)
let in_main_leaves_one () =
  P.init 0 1 ignore;
  run (fun () ->
      let later = ref (Lwt.return 0) in
      let call () =
        P.run_in_main (fun () ->
            later := P.detach succ 4;
            Lwt_unix.sleep 0.001)
      in
      P.detach call () >>= fun () -> outcome "later" !later)

(* Before anybody has said which thread runs the loop. *)
let in_main_first () =
  let finished, finish = Lwt.wait () in
  let answer = ref 0 in
  let ask () =
    answer := P.run_in_main (fun () -> Lwt.pause () >|= fun () -> 5);
    P.run_in_main (fun () -> Lwt.return (Lwt.wakeup finish ()))
  in
  let thread = Thread.create ask () in
  Lwt_main.run finished;
  Thread.join thread;
  say "answer: %d" !answer

(* A call of between two runs of the loop waits for the next. *)
let in_main_between () =
  run (fun () -> P.detach ignore ());
  let ended = Atomic.make false in
  let call () =
    P.run_in_main (fun () -> Lwt.return (say "ran"));
    Atomic.set ended true
  in
  let thread = Thread.create call () in
  say "no loop";
  let rec wait () = if Atomic.get ended then Lwt.return_unit else Lwt.pause () >>= wait in
  run wait;
  Thread.join thread

let dont_wait () =
  run (fun () ->
      let seen, see = Lwt.wait () and held = Hold.make () in
      let work () =
        Hold.task held ();
        Lwt.pause () >|= fun () -> Lwt.wakeup see (self ())
      in
      let call () =
        P.run_in_main_dont_wait work raise;
        Hold.let_go held;
        1
      in
      outcome "did not wait" (P.detach call ()) >>= fun () ->
      seen >|= fun thread -> say "on the loop's thread: %b" (thread = self ()))

let dont_wait_fails () =
  run (fun () ->
      let seen, see = Lwt.wait () in
      let handler = function
        | Own 2 -> say "raised"
        | Own n -> Lwt.wakeup see n
        | _ -> ()
      in
      let post () =
        P.run_in_main_dont_wait (fun () -> raise (Own 2)) handler;
        P.run_in_main_dont_wait (fun () -> Lwt.pause () >>= fun () -> Lwt.fail (Own 3)) handler
      in
      P.detach post () >>= fun () -> outcome "rejected" seen)

(* From the loop's thread, too, and from any before the loop is known. *)
let dont_wait_anywhere () =
  let seen, see = Lwt.wait () in
  let post () = P.run_in_main_dont_wait (fun () -> Lwt.return (Lwt.wakeup see 5)) raise in
  Thread.join (Thread.create post ());
  run (fun () ->
      outcome "early" seen >>= fun () ->
      let seen, see = Lwt.wait () in
      P.run_in_main_dont_wait (fun () -> Lwt.return (Lwt.wakeup see 6)) raise;
      say "not at once: %b" (is_pending seen);
      outcome "from the loop" seen)

(* A daemon forks before its first detach. *)
let fork_first () =
  P.set_bounds (0, 2);
  flush_all ();
  match Lwt_unix.fork () with
  | 0 ->
      run (fun () -> outcome "in the child" (P.detach succ 1));
      exit 3
  | child -> (
      match Unix.waitpid [] child with
      | _, WEXITED 3 -> run (fun () -> outcome "in the parent" (P.detach succ 2))
      | _ -> say "the child failed")

type program = { name : string; run : unit -> unit; prints : string list }

let p name run prints = { name; run; prints }

let of_dont_wait =
  [
    p "run_in_main_dont_wait does not wait" dont_wait
      [ "did not wait: 1"; "on the loop's thread: true" ];
    p "run_in_main_dont_wait tells its handler" dont_wait_fails [ "raised"; "rejected: 3" ];
    p "run_in_main_dont_wait from any thread" dont_wait_anywhere
      [ "early: 5"; "not at once: true"; "from the loop: 6" ];
  ]

let programs =
  (if P.run_in_main_dont_wait == absent then [] else of_dont_wait)
  @ [
    p "detach runs on another thread" another_thread [ "7, on this thread: false" ];
    p "exceptions keep their identity" exceptions [ "same: true"; "the thread lives on: 2" ];
    p "detach waits without a limit, in order" no_limit
      [ "held: 1 threads, 1 busy, 50 queued"; "in order: true"; "kept: 1" ];
    p "a call runs while no loop does" without_a_loop [ "it ran, and is told: false"; "told" ];
    p "the program's end does not wait for a call" program_ends [ "main ends"; "at_exit" ];
    p "10,000 calls" many [ "sum: 49995000" ];
    p "keys of Lwt" keys [ "in main: none"; "afterwards: mine" ];
    p "the first detach sets the bounds" first_bounds
      [
        "in the beginning: 0 to 0";
        "set: 0 to 9";
        "after the first detach: 0 to 4";
        "set later: 0 to 7";
      ];
    p "init keeps its bounds" init_bounds [ "after a detach: 1 to 3"; "again: 0 to 2" ];
    p "bad bounds and limits are refused" bad_bounds
      [
        "set_bounds: refused by name: true";
        "set_bounds: refused by name: true";
        "limit: 1000";
        "set_max_number_of_threads_queued: refused by name: true";
        "set_max_number_of_threads_queued: accepted";
        "left: 0 to 0";
      ];
    p "a minimum is started at once" least_threads
      [
        "none: 0 threads, 0 busy, 0 queued";
        "three: 3 threads, 0 busy, 0 queued";
        "four: 4 threads, 0 busy, 0 queued";
      ];
    p "threads and calls are counted" counted
      [
        "at once: 2 threads, 2 busy, 3 queued";
        "running: 2 threads, 2 busy, 3 queued";
        "afterwards: 2 threads, 0 busy, 0 queued";
      ];
    p "four calls get four threads" four_meet [ "afterwards: 4 threads, 0 busy, 0 queued" ];
    p "a lower maximum ends threads" fewer [ "at most one is left"; "and works: 2" ];
    p "without threads calls wait for some" none_then_one
      [ "none: 0 threads, 0 busy, 2 queued"; "first"; "second" ];
    p "cancel takes a queued call back" cancel_queued
      [
        "queued: " ^ Printexc.to_string Lwt.Canceled;
        "left: 1 threads, 1 busy, 1 queued";
        "the last: 2";
      ];
    p "cancel leaves a running call" cancel_running [ "pending: true"; "running: 8" ];
    p "cancel leaves a call that has ended" cancel_ended [ "pending: true"; "ended: 9" ];
    p "run_in_main waits for a promise" in_main
      [ "on the loop's thread: true"; "raised: 3"; "rejected: 4" ];
    p "run_in_main may detach" in_main_detaches [ "waited for: 3" ];
    p "run_in_main may leave a call to its own thread" in_main_leaves_one [ "later: 5" ];
    p "run_in_main before the first detach" in_main_first [ "answer: 5" ];
    p "run_in_main between two loops" in_main_between [ "no loop"; "ran" ];
    p "fork before the first detach" fork_first [ "in the child: 2"; "in the parent: 3" ];
  ]
