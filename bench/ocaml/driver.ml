(* SPDX-License-Identifier: ISC
   driver.ml: one measurement of one system per process, as ../c/driver.c:

     SYSTEM MEASURE THREADS 1 IN_FLIGHT COUNT

   SYSTEM is the name that the program is called by. Both tables stand at the end.
   Prints lines "figure value". *)

open Lwt.Infix

type system = { run : (unit -> unit) -> unit Lwt.t; run_in_main : (unit -> unit Lwt.t) -> unit }
type plan = { threads : int; in_flight : int; count : int }

external now_us : unit -> float = "bench_now_us"

let warm_up = 10_000

(* Systems *)

(* Not set_bounds: the first detach would undo it. *)
let preemptive n =
  Lwt_preemptive.init n n prerr_endline;
  let run f = Lwt_preemptive.detach f () in
  Lwt.return { run; run_in_main = Lwt_preemptive.run_in_main }

let weir_preemptive n =
  Weir_preemptive.init n n prerr_endline;
  let run f = Weir_preemptive.detach f () in
  Lwt.return { run; run_in_main = Weir_preemptive.run_in_main }

let mwt n =
  Mwt.make ~init:Mwt.noop ~at_exit:Mwt.noop n >|= fun pool ->
  { run = (fun f -> Mwt.run pool f); run_in_main = Mwt.run_in_main }

let weir_lwt ?tick_ms n =
  Weir_lwt.create ?tick_ms ~threads:n ~init:ignore ~at_exit:ignore () >|= fun pool ->
  { run = (fun f -> Weir_lwt.run pool f); run_in_main = Weir_lwt.run_in_main }

(* Work *)

let rec repeat n f = if n = 0 then Lwt.return_unit else f () >>= fun () -> repeat (n - 1) f

(* [n] tasks, [in_flight] at a time. *)
let flow s ~in_flight n =
  let left = ref n in
  let rec lane () =
    if !left = 0 then Lwt.return_unit
    else begin
      decr left;
      s.run ignore >>= lane
    end
  in
  Lwt.join (List.init in_flight (fun _ -> lane ()))

(* Lwt_preemptive starts its threads late: they all must have come. *)
let meet s threads =
  let lock = Mutex.create () and all = Condition.create () and missing = ref threads in
  let arrive () =
    Mutex.lock lock;
    decr missing;
    if !missing = 0 then Condition.broadcast all;
    while !missing > 0 do
      Condition.wait all lock
    done;
    Mutex.unlock lock
  in
  Lwt.join (List.init threads (fun _ -> s.run arrive))

(* Measures *)

let percentile p a =
  Array.sort compare a;
  a.(int_of_float (p *. float (Array.length a - 1)))

let print_us figure a =
  Printf.printf "%s_p50_us %.3f\n%s_p99_us %.3f\n" figure (percentile 0.5 a) figure
    (percentile 0.99 a)

let latency s plan =
  let a = Array.make plan.count 0. and i = ref 0 in
  let one () =
    let before = now_us () in
    s.run ignore >|= fun () ->
    a.(!i) <- now_us () -. before;
    incr i
  in
  repeat plan.count one >|= fun () -> print_us "latency" a

let call s plan =
  let time _ =
    let before = now_us () in
    s.run_in_main Lwt.return;
    now_us () -. before
  in
  let a = ref [||] in
  s.run (fun () -> a := Array.init plan.count time) >|= fun () -> print_us "call" !a

let rate s plan =
  let before = now_us () in
  flow s ~in_flight:plan.in_flight plan.count >|= fun () ->
  Printf.printf "rate_per_s %.0f\n" (float plan.count *. 1e6 /. (now_us () -. before))

(* How late a timer of 1 ms comes, COUNT times, beside work that has no end of its own. *)

let lateness count =
  let a = Array.make count 0. and i = ref 0 in
  let tick () =
    let due = now_us () +. 1000. in
    Lwt_unix.sleep 0.001 >|= fun () ->
    a.(!i) <- (now_us () -. due) /. 1e3;
    incr i
  in
  repeat count tick >|= fun () -> a

let late work s plan =
  let go_on = ref true in
  let rec lane () = if !go_on then s.run (fun () -> work go_on) >>= lane else Lwt.return_unit in
  let lanes = List.init plan.in_flight (fun _ -> lane ()) in
  lateness plan.count >>= fun a ->
  go_on := false;
  Lwt.join lanes >|= fun () ->
  Printf.printf "late_p50_ms %.3f\nlate_max_ms %.3f\n" (percentile 0.5 a) (percentile 1. a)

let compute_while condition =
  while condition () do
    ignore (Sys.opaque_identity (ref 0))
  done

let busy _ =
  let stop = now_us () +. 1000. in
  compute_while (fun () -> now_us () < stop)

let systems =
  [
    ("mwt", mwt);
    ("preemptive", preemptive);
    ("weir_preemptive", weir_preemptive);
    ("weir_lwt", fun n -> weir_lwt n);
    ("tick_1ms", fun n -> weir_lwt ~tick_ms:1 n);
  ]

let measures =
  [
    ("latency", latency) (* COUNT tasks, one by one *);
    ("call", call) (* COUNT round trips of run_in_main from one task *);
    ("rate", rate) (* COUNT tasks, IN_FLIGHT at a time *);
    ("beside_empty", late ignore) (* tasks of no length *);
    ("beside_1ms", late busy) (* tasks that compute for 1 ms *);
    ("beside_endless", late (fun go_on -> compute_while (fun () -> !go_on)));
  ]

let main start measure plan =
  start plan.threads >>= fun s ->
  meet s plan.threads >>= fun () ->
  flow s ~in_flight:plan.in_flight warm_up >>= fun () -> measure s plan

let usage () =
  prerr_endline "usage: see the top of bench/ocaml/driver.ml";
  exit 2

let () =
  let find name table = try List.assoc name table with Not_found -> usage () in
  match Sys.argv with
  | [| system; measure; threads; _producers; in_flight; count |] ->
      let n s = match int_of_string_opt s with Some n when n > 0 -> n | _ -> usage () in
      let plan = { threads = n threads; in_flight = n in_flight; count = n count } in
      Lwt_main.run
        (main (find (Filename.basename system) systems) (find measure measures) plan)
  | _ -> usage ()
