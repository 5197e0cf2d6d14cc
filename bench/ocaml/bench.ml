(* SPDX-License-Identifier: ISC
   Mwt and Weir_lwt against Lwt_preemptive, in the same process, in turns.

   usage: bench.exe [latency|tasks|calls|fair|tick]...   (default: all)
   Run it pinned (taskset -c 1) for the cost of the software, unpinned for what the
   machine makes of it. Every figure is the median of the runs listed beside it. *)

open Lwt.Infix

type system = {
  name : string;
  start : int -> unit Lwt.t; (* with so many threads *)
  run : (unit -> unit) -> unit Lwt.t;
  run_in_main : (unit -> unit Lwt.t) -> unit;
  stop : unit -> unit Lwt.t;
}

let preemptive =
  {
    name = "Lwt_preemptive";
    start =
      (fun n ->
        Lwt_preemptive.set_bounds (n, n);
        Lwt_preemptive.set_max_number_of_threads_queued 100_000;
        Lwt.return_unit);
    run = (fun f -> Lwt_preemptive.detach f ());
    run_in_main = Lwt_preemptive.run_in_main;
    stop = Lwt.return;
  }

let current () =
  let pool = ref None in
  let get () = Option.get !pool in
  let set p =
    pool := Some p;
    Lwt.return_unit
  in
  (get, set)

let mwt =
  let get, set = current () in
  {
    name = "Mwt";
    start = (fun n -> Mwt.make ~init:Mwt.noop ~at_exit:Mwt.noop n >>= set);
    run = (fun f -> Mwt.run (get ()) f);
    run_in_main = Mwt.run_in_main;
    stop = (fun () -> Mwt.close (get ()));
  }

let weir_lwt =
  let get, set = current () in
  {
    name = "Weir_lwt";
    start = (fun n -> Weir_lwt.create ~threads:n ~init:ignore ~at_exit:ignore () >>= set);
    run = (fun f -> Weir_lwt.run (get ()) f);
    run_in_main = Weir_lwt.run_in_main;
    stop = (fun () -> Weir_lwt.close (get ()));
  }

let systems = [ preemptive; mwt; weir_lwt ]
let runs = 5

let timed f =
  let t = Unix.gettimeofday () in
  f () >|= fun () -> Unix.gettimeofday () -. t

let percentile p a =
  Array.sort compare a;
  a.(min (Array.length a - 1) (int_of_float (p *. float (Array.length a))))

let median l = percentile 0.5 (Array.of_list l)

(* Each measurement is one short run; us unless it says otherwise. *)

let rec repeat n f = if n = 0 then Lwt.return_unit else f () >>= fun () -> repeat (n - 1) f

let latency s =
  let n = 5_000 in
  let a = Array.make n 0. and i = ref 0 in
  let one () =
    timed (fun () -> s.run ignore) >|= fun t ->
    a.(!i) <- t *. 1e6;
    incr i
  in
  repeat n one >|= fun () -> (percentile 0.5 a, percentile 0.99 a)

let tasks_per_second s =
  let n = if s == preemptive then 20_000 else 200_000 in
  let left = ref n in
  let rec lane () =
    if !left <= 0 then Lwt.return_unit
    else begin
      decr left;
      s.run ignore >>= lane
    end
  in
  timed (fun () -> Lwt.join (List.init 64 (fun _ -> lane ()))) >|= fun t -> float n /. t

let call_time s =
  let n = 3_000 in
  let a = Array.make n 0. in
  s.run (fun () ->
      for i = 0 to n - 1 do
        let t = Unix.gettimeofday () in
        s.run_in_main Lwt.return;
        a.(i) <- (Unix.gettimeofday () -. t) *. 1e6
      done)
  >|= fun () -> percentile 0.5 a

(* A 1 ms timer beside work: how late it comes, in ms. *)

let lateness seconds =
  let stop = Unix.gettimeofday () +. seconds in
  let rec tick acc =
    let due = Unix.gettimeofday () +. 0.001 in
    Lwt_unix.sleep 0.001 >>= fun () ->
    let now = Unix.gettimeofday () in
    let acc = ((now -. due) *. 1e3) :: acc in
    if now < stop then tick acc else Lwt.return (Array.of_list acc)
  in
  tick []

let busy () =
  let stop = Unix.gettimeofday () +. 0.001 in
  while Unix.gettimeofday () < stop do
    ()
  done

let beside s ~in_flight work =
  let go_on = ref true in
  let rec lane () = if !go_on then s.run work >>= lane else Lwt.return_unit in
  let lanes = List.init in_flight (fun _ -> lane ()) in
  lateness 1.0 >>= fun a ->
  go_on := false;
  Lwt.join lanes >|= fun () -> (percentile 0.5 a, percentile 1.0 a)

(* Reports *)

let list l = String.concat " " (List.map (Printf.sprintf "%.4g") l)

let rec in_turns n f acc =
  if n = 0 then Lwt.return (List.rev acc)
  else Lwt_list.map_s f systems >>= fun row -> in_turns (n - 1) f (row :: acc)

let served threads f s =
  s.start threads >>= fun () ->
  f s >>= fun x ->
  s.stop () >|= fun () -> x

let column i rows = List.map (fun row -> List.nth row i) rows

let report title ~ratio rows =
  let base = median (column 0 rows) in
  Printf.printf "%s\n" title;
  List.iteri
    (fun i s ->
      let values = column i rows in
      let m = median values in
      Printf.printf "  %-15s %10.4g   %s   (%s)\n%!" s.name m (ratio m base) (list values))
    systems

let times m base = Printf.sprintf "%.2fx" (m /. base)
let plain _ _ = ""
let over rows f = List.map (List.map f) rows

let bench_latency () =
  in_turns runs (served 1 latency) [] >|= fun rows ->
  report "latency of one task, p50, us" ~ratio:times (over rows fst);
  report "latency of one task, p99, us" ~ratio:times (over rows snd)

let bench_tasks () =
  in_turns runs (served 1 tasks_per_second) [] >|= fun rows ->
  report "tasks per second, 64 in flight, 1 thread" ~ratio:times rows

let bench_calls () =
  in_turns runs (served 1 call_time) [] >|= fun rows ->
  report "run_in_main, p50, us" ~ratio:times rows

let bench_fair () =
  let one (what, in_flight, work) threads =
    in_turns runs (served threads (fun s -> beside s ~in_flight work)) [] >|= fun rows ->
    let title part =
      Printf.sprintf "1 ms timer beside %s, %d thread(s): late by, %s, ms" what threads part
    in
    report (title "p50") ~ratio:plain (over rows fst);
    report (title "worst") ~ratio:plain (over rows snd)
  in
  let work = [ ("a flood of empty tasks", 1000, ignore); ("busy 1 ms tasks", 64, busy) ] in
  Lwt_list.iter_s (fun w -> Lwt_list.iter_s (one w) [ 1; 4 ]) work

(* Tasks that compute for longer than the runtime's 50 ms, without an end of their own. *)

let compute go_on () =
  while Atomic.get go_on do
    ignore (Sys.opaque_identity (ref 0))
  done

let stall tick_ms =
  Weir_lwt.create ?tick_ms ~threads:4 ~init:ignore ~at_exit:ignore () >>= fun pool ->
  let go_on = Atomic.make true in
  let tasks = List.init 4 (fun _ -> Weir_lwt.run pool (compute go_on)) in
  lateness 1.0 >>= fun a ->
  Atomic.set go_on false;
  Lwt.join tasks >>= fun () ->
  Weir_lwt.close pool >|= fun () -> (percentile 0.5 a, percentile 1.0 a)

(* The clock stays once it was started: the default comes first. *)
let bench_tick () =
  let one (what, tick_ms) =
    Lwt_list.map_s (fun () -> stall tick_ms) (List.init runs ignore) >|= fun l ->
    let p50 = List.map fst l and worst = List.map snd l in
    Printf.printf "  %-15s p50 %.4g (%s), worst %.4g (%s)\n%!" what (median p50) (list p50)
      (median worst) (list worst)
  in
  print_endline "1 ms timer beside 4 threads that compute: late by, ms";
  Lwt_list.iter_s one [ ("stock", None); ("tick_ms:5", Some 5); ("tick_ms:1", Some 1) ]

let benches =
  [
    ("latency", bench_latency);
    ("tasks", bench_tasks);
    ("calls", bench_calls);
    ("fair", bench_fair);
    ("tick", bench_tick);
  ]

let () =
  let wanted = List.tl (Array.to_list Sys.argv) in
  let chosen = List.filter (fun (name, _) -> wanted = [] || List.mem name wanted) benches in
  Lwt_main.run (Lwt_list.iter_s (fun (_, bench) -> bench ()) chosen)
