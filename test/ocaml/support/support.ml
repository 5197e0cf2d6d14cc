(* SPDX-License-Identifier: ISC
   What the OCaml tests share: a watchdog, gates in place of sleeps, a look at what a
   test left behind, and tests that are a process of their own. *)

(* A gate lets nobody through until it is opened. *)
module Gate = struct
  type t = { mutex : Mutex.t; changed : Condition.t; mutable is_open : bool }

  let make () = { mutex = Mutex.create (); changed = Condition.create (); is_open = false }

  let enter g =
    Mutex.lock g.mutex;
    while not g.is_open do
      Condition.wait g.changed g.mutex
    done;
    Mutex.unlock g.mutex

  let open_ g =
    Mutex.lock g.mutex;
    g.is_open <- true;
    Condition.broadcast g.changed;
    Mutex.unlock g.mutex
end

(* A task that says when it runs and stays until it is let go. *)
module Hold = struct
  type t = { runs : Gate.t; leave : Gate.t }

  let make () = { runs = Gate.make (); leave = Gate.make () }

  let task h _ =
    Gate.open_ h.runs;
    Gate.enter h.leave

  let until_it_runs h = Gate.enter h.runs
  let let_go h = Gate.open_ h.leave
end

let watchdog_s = 30

(* Its default action ends the process wherever it hangs. Alcotest has printed which
   test is running. *)
let watched f () =
  ignore (Unix.alarm watchdog_s);
  Fun.protect ~finally:(fun () -> ignore (Unix.alarm 0)) f

(* Nothing may be left behind *)

let entries dir = try Sys.readdir dir with Sys_error _ -> [||]
let descriptors () = Array.length (entries "/proc/self/fd")

let name_in path =
  try
    let file = open_in (path ^ "/comm") in
    Fun.protect ~finally:(fun () -> close_in file) (fun () -> input_line file)
  with Sys_error _ | End_of_file -> ""

let thread_name id = name_in ("/proc/self/task/" ^ id)
let own_thread_name () = name_in "/proc/thread-self"

(* A pool's threads have a number after a slash; the runtime's and weir's own do not. *)
let pool_threads () =
  let is_pool's id = String.contains (thread_name id) '/' in
  List.length (List.filter is_pool's (Array.to_list (entries "/proc/self/task")))

(* What another thread is about to make true; the watchdog ends a wait in vain. *)
let rec until is_true =
  if not (is_true ()) then begin
    Thread.yield ();
    until is_true
  end

(* A thread is still there for a moment after its pool has let it go. *)
let until_no_pool_thread () = until (fun () -> pool_threads () = 0)

(* weir's own thread may be about to tell something; a closed pool's handle goes with its
   last owner. *)
let rec slots_left ?(looks = 5_000) expected =
  Gc.full_major ();
  let n = Weir__Raw.slots_live () in
  if n <= expected || looks = 0 then n
  else begin
    Thread.yield ();
    slots_left ~looks:(looks - 1) expected
  end

let clean f () =
  Gc.full_major ();
  let d = descriptors () and s = Weir__Raw.slots_live () in
  f ();
  until_no_pool_thread ();
  if descriptors () > d then Alcotest.failf "%d descriptors, %d before" (descriptors ()) d;
  let left = slots_left s in
  if left > s then Alcotest.failf "%d slots in use, %d before" left s

let also_warm_up = ref ignore

(* The descriptors that stay with the process come with the first pool. *)
let warm_up =
  lazy
    (let pool = Weir.Pool.create ~threads:1 ~init:ignore ~at_exit:ignore () in
     Weir.Future.await (Weir.Pool.run ~start_within:20. pool ignore);
     Weir.Pool.close pool;
     !also_warm_up ();
     until_no_pool_thread ())

let test name f =
  let body () =
    Lazy.force warm_up;
    watched (clean f) ()
  in
  Alcotest.test_case name `Quick body

let raises_invalid ~naming f =
  match f () with
  | _ -> Alcotest.fail "no Invalid_argument"
  | exception Invalid_argument message ->
      let rec has i =
        i + String.length naming <= String.length message
        && (String.sub message i (String.length naming) = naming || has (i + 1))
      in
      if not (has 0) then Alcotest.failf "%S does not name %S" message naming

let contains text part =
  let n = String.length part in
  let rec at i = i + n <= String.length text && (String.sub text i n = part || at (i + 1)) in
  at 0

let check_contains what text part =
  if not (contains text part) then Alcotest.failf "%s: %S is not in %S" what part text

(* A complete bytecode executable has no locations on OCaml 5. *)
let check_backtrace what trace file =
  let probe = try failwith "" with Failure _ -> Printexc.get_backtrace () in
  if contains probe "support.ml" then check_contains what trace file

(* Scenarios: this program again, as a process of its own *)

type ending = { status : Unix.process_status; output : string }

let read_all fd =
  let buffer = Buffer.create 256 and chunk = Bytes.create 4096 in
  let rec go () =
    match Unix.read fd chunk 0 4096 with
    | 0 -> ()
    | n ->
        Buffer.add_subbytes buffer chunk 0 n;
        go ()
    | exception Unix.Unix_error (EINTR, _, _) -> go ()
  in
  go ();
  Buffer.contents buffer

(* [shell] comes first, e.g. an ulimit. *)
let run_scenario ?(shell = ":") name =
  let source, sink = Unix.pipe ~cloexec:true () in
  let command =
    Printf.sprintf "%s; exec %s --scenario %s" shell (Filename.quote Sys.executable_name) name
  in
  let argv = [| "/bin/sh"; "-c"; command |] in
  let pid = Unix.create_process argv.(0) argv Unix.stdin sink sink in
  Unix.close sink;
  let output = read_all source in
  Unix.close source;
  { status = snd (Unix.waitpid [] pid); output }

let describe = function
  | Unix.WEXITED n -> Printf.sprintf "exit %d" n
  | WSIGNALED n -> Printf.sprintf "signal %d" n
  | WSTOPPED n -> Printf.sprintf "stopped %d" n

let expect ?shell ?(status = Unix.WEXITED 0) name parts () =
  let ending = run_scenario ?shell name in
  if ending.status <> status then
    Alcotest.failf "%s, expected %s; output:\n%s" (describe ending.status) (describe status)
      ending.output;
  List.iter (check_contains "output" ending.output) parts

let scenario_test ?shell ?status name scenario parts =
  Alcotest.test_case name `Quick (watched (expect ?shell ?status scenario parts))

(* For a scenario that is refused threads: the limit does not bind root. *)
let few_threads = "prlimit --pid $$ --nproc=20"

let become_ordinary () =
  if Unix.geteuid () = 0 then begin
    Unix.setgid 61_234;
    Unix.setuid (61_000 + (Unix.getpid () mod 4_000))
  end

(* [scenarios]: what the process does when it is asked to be one of them. *)
let main ?(scenarios = []) name suites =
  match Sys.argv with
  | [| _; "--scenario"; which |] ->
      ignore (Unix.alarm (watchdog_s - 5));
      (List.assoc which scenarios) ()
  | _ -> Alcotest.run ~and_exit:true name suites

let say fmt = Printf.ksprintf (fun line -> print_endline line) fmt
let ocaml_at_least version = Scanf.sscanf Sys.ocaml_version "%d.%d" (fun a b -> (a, b)) >= version

(* OCaml 4.13 itself loses what was allocated when a stack overflows. *)
let overflow_is_sound = ocaml_at_least (4, 14)

let is_ocaml_5 = int_of_string (String.sub Sys.ocaml_version 0 1) >= 5
