(* SPDX-License-Identifier: ISC
   Tasks as runtime events: written here, read here, and read by weir-events. *)

module Pool = Weir.Pool
module Trace = Weir.Trace

exception Own

let pool name threads = Pool.create ~name ~threads ~init:ignore ~at_exit:ignore ()

let run_all pool n f =
  let futures = List.init n (fun i -> Pool.run pool (fun () -> f i)) in
  List.iter (fun future -> try Weir.Future.await future with Own -> ()) futures

(* What a function does, in events. *)
let events_of f =
  let cursor = Runtime_events.create_cursor None and seen = ref [] in
  let note _ step = seen := step :: !seen in
  let callbacks = Weir_events.add note (Runtime_events.Callbacks.create ()) in
  ignore (Runtime_events.read_poll cursor callbacks None);
  seen := [];
  f ();
  ignore (Runtime_events.read_poll cursor callbacks None);
  Runtime_events.free_cursor cursor;
  List.rev !seen

let check_int = Alcotest.(check int)

let both () =
  let p = pool "both" 2 in
  Weir_events.start ();
  let steps = events_of (fun () -> run_all p 20 (fun i -> if i mod 4 = 0 then raise Own)) in
  Weir_events.stop ();
  Pool.close p;
  let count f = List.length (List.filter f steps) in
  check_int "begun" 20 (count (fun s -> s.Trace.begins));
  check_int "ended" 20 (count (fun s -> not s.Trace.begins));
  check_int "of this pool" 40 (count (fun s -> s.Trace.pool = "both"));
  check_int "of its threads" 40 (count (fun s -> s.Trace.thread = 0 || s.Trace.thread = 1))

let stopped () =
  let p = pool "off" 1 in
  Weir_events.start ();
  Weir_events.stop ();
  check_int "events" 0 (List.length (events_of (fun () -> run_all p 5 ignore)));
  Pool.close p

let long_names () =
  let name = String.make 2_000 'x' in
  let p = pool name 1 in
  Weir_events.start ();
  let steps = events_of (fun () -> run_all p 1 ignore) in
  Weir_events.stop ();
  Pool.close p;
  check_int "events" 2 (List.length steps);
  List.iter (fun s -> check_int "its start" 0 (compare s.Trace.thread 0)) steps

let step begins thread = { Trace.pool = "p"; thread; label = "l"; begins }

let paired () =
  let seen = ref [] in
  let hear = Weir_events.pairs (fun e -> seen := Format.asprintf "%a" Weir_events.pp e :: !seen) in
  let cursor_time = ref None in
  (* a timestamp has no maker: one that was read *)
  Weir_events.start ();
  let cursor = Runtime_events.create_cursor None in
  let note time _ = cursor_time := Some time in
  let callbacks = Weir_events.add note (Runtime_events.Callbacks.create ()) in
  let p = pool "time" 1 in
  run_all p 1 ignore;
  ignore (Runtime_events.read_poll cursor callbacks None);
  Weir_events.stop ();
  Pool.close p;
  Runtime_events.free_cursor cursor;
  let time = Option.get !cursor_time in
  List.iter (hear time) [ step false 0; step true 0; step true 1; step false 1; step false 0 ];
  Alcotest.(check (list string)) "ended" [ "p/1 l 0.000 ms"; "p/0 l 0.000 ms" ] (List.rev !seen)

(* weir-events ends when its process does, so that process is another one. *)
let child () =
  Weir_events.start ();
  let p = pool "child" 1 in
  print_endline "ready";
  ignore (input_line stdin);
  run_all p 3 ignore;
  print_endline "ran";
  ignore (input_line stdin);
  Pool.close p

let follows () =
  let env = Array.append (Unix.environment ()) [| "WEIR_EVENTS_CHILD=1" |] in
  let self = Sys.executable_name in
  let ((from_child, to_child, _) as child) = Unix.open_process_args_full self [| self |] env in
  let pid = Unix.process_full_pid child and seen = ref [] in
  Alcotest.(check string) "child" "ready" (input_line from_child);
  let say () =
    output_string to_child "\n";
    flush to_child
  in
  (* a zombie lives: it is reaped as soon as it has said all *)
  let last () =
    Alcotest.(check string) "child" "ran" (input_line from_child);
    say ();
    ignore (Unix.close_process_full child)
  in
  say ();
  let thread = Thread.create last () in
  Weir_events.follow ~dir:(Sys.getcwd ()) pid (fun e -> seen := e.step.pool :: !seen);
  Thread.join thread;
  Alcotest.(check (list string)) "of the child" [ "child"; "child"; "child" ] !seen

let nobody () =
  match Weir_events.follow ~dir:(Sys.getcwd ()) 1 ignore with
  | () -> Alcotest.fail "process 1 has events here"
  | exception Failure _ -> ()

let run () =
  if Sys.getenv_opt "WEIR_EVENTS_CHILD" <> None then child ()
  else
    let test name f = Alcotest.test_case name `Quick f in
    Alcotest.run ~argv:[| Sys.argv.(0) |] "events"
      [
        ( "runtime events",
          [
            test "tell each begin and each end" both;
            test "are silent when stopped" stopped;
            test "cut what is too long" long_names;
            test "are paired by thread" paired;
            test "are read from another process" follows;
            test "have to be there" nobody;
          ] );
      ]
