(* SPDX-License-Identifier: ISC
   What can be seen of pools: the snapshot, the histograms, the trace. *)

open Support
module Pool = Weir.Pool
module Future = Weir.Future
module Trace = Weir.Trace

exception Own

let check_int = Alcotest.(check int)
let check_string = Alcotest.(check string)

let plain ?name ?measure threads =
  Pool.create ?name ?measure ~threads ~init:ignore ~at_exit:ignore ()

(* The snapshot *)

let settled (s : Weir.Stats.t) = s.ok + s.failed + s.cancelled + s.expired + s.closed + s.dropped
let adds_up (s : Weir.Stats.t) = s.submitted = s.queued + s.running + s.parked + settled s

let always_adds_up () =
  let pool = plain 2 and ended = Atomic.make false in
  let submit () =
    for i = 1 to 3_000 do
      let future = Pool.run pool (fun () -> if i mod 5 = 0 then raise Own) in
      if i mod 3 = 0 then ignore (Future.cancel future)
    done;
    Atomic.set ended true
  in
  let thread = Thread.create submit () in
  until (fun () ->
      if not (adds_up (Pool.stats pool)) then Alcotest.fail "a snapshot does not add up";
      Atomic.get ended);
  Thread.join thread;
  Pool.close pool;
  Alcotest.(check bool) "at last" true (adds_up (Pool.stats pool));
  check_int "submitted" 3_000 (Pool.stats pool).submitted

let printed () =
  let pool = plain 2 in
  Future.await (Pool.run pool ignore);
  Pool.close pool;
  let s = { (Pool.stats pool) with wakes = 0 } in
  check_string "pp" "submitted 1, ok 1" (Format.asprintf "%a" Weir.Stats.pp s);
  let fields = Weir.Stats.fields s in
  check_int "every field" (Obj.size (Obj.repr s)) (List.length fields);
  check_int "by its name" 1 (List.assoc "submitted" fields)

(* Slices *)

let slices () =
  check_int "its value" 3 (Trace.slice "sum" (fun () -> 3));
  Alcotest.check_raises "its exception" Own (fun () -> Trace.slice "fails" (fun () -> raise Own))

(* Steps *)

let steps () =
  let pool = plain ~name:"steps" 1 and lock = Mutex.create () and seen = ref [] in
  let note step = Mutex.lock lock; seen := step :: !seen; Mutex.unlock lock; raise Own in
  Trace.on_step (Some note);
  Future.await (Pool.run pool ignore);
  (try Future.await (Pool.run pool (fun () -> raise Own)) with Own -> ());
  Trace.on_step None;
  Future.await (Pool.run pool ignore);
  Pool.close pool;
  let step begins = { Trace.pool = "steps"; thread = 0; label = ""; begins } in
  Alcotest.(check bool) "each begin and each end" true
    (List.rev !seen = [ step true; step false; step true; step false ])

(* The text for Prometheus *)

let has_line text line = List.mem line (String.split_on_char '\n' text)

let metrics () =
  let pool = plain ~name:"prom" ~measure:`Times 1 in
  Future.await (Pool.run pool ignore);
  let text = Weir.metrics () in
  let has line = Alcotest.(check bool) line true (has_line text line) in
  has "weir_pool_threads{pool=\"prom\"} 1";
  has "weir_pool_tasks_submitted_total{pool=\"prom\"} 1";
  has "weir_pool_queue_time_seconds_count{pool=\"prom\"} 1";
  Pool.close pool

let metrics_of_many () =
  let name i = Printf.sprintf "one of many pools with a long name, whose number is %d" i in
  let lazily i =
    Pool.create ~name:(name i) ~threads:0 ~threads_max:1 ~init:ignore ~at_exit:ignore ()
  in
  let pools = List.init 40 lazily in
  let text = Weir.metrics () in
  Alcotest.(check bool) "a large text" true (String.length text > 40_000);
  check_string "ends in a line" "\n" (String.sub text (String.length text - 1) 1);
  for i = 0 to 39 do
    let line = Printf.sprintf "weir_pool_threads_refused_total{pool=\"%s\"} 0" (name i) in
    Alcotest.(check bool) line true (has_line text line)
  done;
  List.iter Pool.close pools

(* What runs *)

let lists () =
  let pool = plain 2 and hold = Hold.make () in
  Alcotest.(check int) "nothing" 0 (List.length (Pool.running pool));
  let held = Pool.run ~label:"import" pool (Hold.task hold) in
  Hold.until_it_runs hold;
  (match Pool.running pool with
  | [ one ] ->
      Alcotest.(check (option string)) "label" (Some "import") one.label;
      Alcotest.(check bool) "thread" true (one.thread = Some 0 || one.thread = Some 1);
      Alcotest.(check bool) "age" true (one.seconds >= 0.);
      Alcotest.(check bool) "not asked" false (one.cancel_requested || one.blocking)
  | list -> Alcotest.failf "%d run" (List.length list));
  until (fun () -> (Pool.stats pool).oldest_running_ns > 0);
  ignore (Future.cancel held);
  let all what = List.for_all what (Pool.running pool) in
  Alcotest.(check bool) "asked" true (all (fun r -> r.Weir.Control.cancel_requested));
  Hold.let_go hold;
  Future.await held;
  let unlabelled = Hold.make () in
  let held = Pool.run pool (Hold.task unlabelled) in
  Hold.until_it_runs unlabelled;
  Alcotest.(check bool) "no label" true (all (fun r -> r.Weir.Control.label = None));
  Hold.let_go unlabelled;
  Future.await held;
  Pool.close pool;
  Alcotest.(check int) "ages" 0 (Pool.stats pool).oldest_running_ns

(* The watcher *)

let watched () =
  let pool = plain ~name:"db" 1 and hold = Hold.make () in
  let told = Atomic.make [] in
  let report text =
    Atomic.set told (text :: Atomic.get told);
    failwith "goes on"
  in
  Weir.Watch.report := Some report;
  let held = Pool.run ~label:"import" pool (Hold.task hold) in
  Hold.until_it_runs hold;
  Weir.Watch.start ~task:0.01 ();
  until (fun () -> List.length (Atomic.get told) >= 2);
  Weir.Watch.stop ();
  check_contains "says it" (List.hd (Atomic.get told)) "task 'import' has run for ";
  check_contains "where" (List.hd (Atomic.get told)) " on db/0";
  Weir.Watch.report := None;
  Hold.let_go hold;
  Future.await held;
  Pool.close pool

(* Of the thread that takes for a function, and of the core's. *)
let threads () = Array.length (entries "/proc/self/task")

let stops () =
  Weir.Watch.report := Some ignore;
  Weir.Watch.start ~task:1000. ();
  Weir.Watch.stop ();
  let before = threads () in
  for _ = 1 to 5 do
    Weir.Watch.start ~task:1000. ()
  done;
  Weir.Watch.stop ();
  Weir.Watch.report := None;
  until (fun () -> threads () <= before)

let bad_limits () =
  raises_invalid ~naming:"neither" (fun () -> Weir.Watch.start ());
  raises_invalid ~naming:"task is 0" (fun () -> Weir.Watch.start ~task:0. ());
  raises_invalid ~naming:"loop is -1" (fun () -> Weir.Watch.start ~loop:(-1.) ());
  Weir.Watch.start ~task:1000. ~loop:1000. ();
  Weir.Watch.stop ();
  Weir.Watch.stop ()

(* Histograms *)

let fine () =
  let pool = plain ~measure:`Times 1 in
  Future.await (Pool.run pool (fun () -> Unix.sleepf 0.001));
  Pool.close pool;
  match Weir.Histogram.buckets (Pool.histogram pool `Run_time) with
  | [ b ] ->
      Alcotest.(check int) "one" 1 b.count;
      Alcotest.(check bool) "a quarter" true (b.below_ns * 4 <= b.from_ns * 5);
      Alcotest.(check bool) "a millisecond" true (b.below_ns > 1_000_000)
  | list -> Alcotest.failf "%d buckets" (List.length list)


let measures () =
  let pool = plain ~measure:`Times 1 and hold = Hold.make () in
  let held = Pool.run pool (Hold.task hold) in
  Hold.until_it_runs hold;
  let tasks = List.init 9 (fun _ -> Pool.run pool ignore) in
  let count which = Weir.Histogram.count (Pool.histogram pool which) in
  check_int "started" 1 (count `Queue_time);
  check_int "ended" 0 (count `Run_time);
  Hold.let_go hold;
  List.iter Future.await (held :: tasks);
  Pool.close pool;
  check_int "all started" 10 (count `Queue_time);
  check_int "all ended" 10 (count `Run_time)

let unmeasured () =
  let pool = plain 1 in
  raises_invalid ~naming:"measure" (fun () -> Pool.histogram pool `Run_time);
  Pool.close pool

(* Three times of 0 ns, one of [4, 8), one that is longer than the clock counts. *)
let sample =
  Weir.Histogram.of_counts
    (Array.init 64 (function 0 -> 3 | 3 -> 1 | 63 -> 1 | _ -> 0))

let buckets () =
  let bucket from_ns below_ns count = { Weir.Histogram.from_ns; below_ns; count } in
  let expected = [ bucket 0 1 3; bucket 4 8 1; bucket max_int max_int 1 ] in
  Alcotest.(check bool) "bounds" true (Weir.Histogram.buckets sample = expected);
  check_int "count" 5 (Weir.Histogram.count sample);
  let lines = String.split_on_char '\n' (Format.asprintf "%a" Weir.Histogram.pp sample) in
  check_int "a line each" 3 (List.length lines);
  check_contains "the second" (List.nth lines 1) "4 ..            8 ns  1"

let percentiles () =
  let p x = Option.get (Weir.Histogram.percentile sample x) *. 1e9 in
  Alcotest.(check (list (float 1e-3))) "below" [ 1.; 1.; 8. ] (List.map p [ 0.; 60.; 61. ]);
  Alcotest.(check bool) "the last" true (p 100. > 1e18);
  let empty = Weir.Histogram.of_counts (Array.make 64 0) in
  Alcotest.(check bool) "nothing" true (Weir.Histogram.percentile empty 50. = None);
  List.iter
    (fun p ->
      raises_invalid ~naming:(Printf.sprintf "p is %g" p) (fun () ->
          Weir.Histogram.percentile sample p))
    [ -1.; 100.1; nan ]

(* The trace *)

(* On the core's own threads too: an expired task is noted where nobody runs OCaml. *)
let traced () =
  Trace.start 1_000;
  let pool = plain ~name:"traced" 1 in
  Future.await (Pool.run pool ignore);
  (try Future.await (Pool.run pool (fun () -> raise Own)) with Own -> ());
  let hold = Hold.make () in
  let held = Pool.run pool (Hold.task hold) in
  Hold.until_it_runs hold;
  let late = Pool.run ~start_within:0.001 pool ignore in
  (try Future.await late with Weir.Expired -> ());
  ignore (Future.cancel (Pool.run ~main:(Weir__Keeper.main ()) pool ignore));
  Hold.let_go hold;
  Future.await held;
  Pool.close pool;
  let events = Trace.take () in
  check_int "missed" 0 (Trace.missed ());
  let n event = List.length (List.filter (fun (e : Trace.t) -> e.event = event) events) in
  List.iter
    (fun (what, expected, event) -> check_int what expected (n event))
    [
      ("entered", 1, Trace.Entered);
      ("queued", 5, Queued);
      ("started", 3, Started);
      ("ok", 2, Settled `Ok);
      ("failed", 1, Settled `Failed);
      ("expired", 1, Settled `Expired);
      ("canceled", 1, Settled `Canceled);
      ("left", 1, Left);
      ("closed", 1, Closed);
    ];
  List.iter (fun (e : Trace.t) -> check_string "pool" "traced" e.pool) events;
  Alcotest.(check bool) "taken" true (Trace.take () = []);
  Trace.stop ()

let bounded () =
  Trace.start 4;
  let pool = plain 1 in
  for _ = 1 to 10 do
    Future.await (Pool.run pool ignore)
  done;
  Pool.close pool;
  let newest = Trace.take () in
  check_int "kept" 4 (List.length newest);
  (* 3 of each task; a thread that entered and left; the end *)
  check_int "missed" (33 - 4) (Trace.missed ());
  Alcotest.(check bool) "the newest" true
    (List.exists (fun (e : Trace.t) -> e.event = Closed) newest);
  Trace.stop ();
  check_int "nothing after a stop" 0 (List.length (Trace.take ()))

let restarted () =
  Trace.start 10;
  let pool = plain 1 in
  Trace.start 10;
  check_int "forgotten" 0 (List.length (Trace.take ()));
  Trace.stop ();
  Future.await (Pool.run pool ignore);
  check_int "not noted" 0 (List.length (Trace.take ()));
  Trace.stop ();
  Pool.close pool

let bad_capacity () =
  List.iter
    (fun n ->
      raises_invalid ~naming:(Printf.sprintf "Weir.Trace.start: n is %d" n) (fun () ->
          Trace.start n))
    [ 0; -1; 1_048_577; max_int ]

(* Taken while four threads note, started and stopped under them. *)
let traced_under_load () =
  let pool = plain 4 and noted = ref 0 in
  Trace.start 100;
  for i = 1 to 5_000 do
    ignore (Pool.run pool ignore);
    if i mod 10 = 0 then noted := !noted + List.length (Trace.take ());
    if i mod 1_000 = 0 then begin
      noted := !noted + Trace.missed ();
      Trace.stop ();
      Trace.start 100
    end
  done;
  Pool.close ~mode:`Drain pool;
  noted := !noted + List.length (Trace.take ()) + Trace.missed ();
  Trace.stop ();
  if !noted > 3 * 5_000 + 10 then Alcotest.failf "%d events" !noted

(* A scenario, because the texts stay for good. *)
let many_labels () =
  let pool = plain 1 in
  let own () = match Pool.running pool with [ task ] -> task.label | _ -> None in
  let labelled text = Future.await (Pool.run ~label:text pool own) = Some text in
  let first = String.make 1000 'a' in
  let rec fill n =
    let text = Printf.sprintf "%.1000d" n in
    if labelled text then fill (n + 1) else n
  in
  let known = labelled first in
  let n = fill 1 in
  say "left out after 256 kB: %b" (n > 200 && n < 262);
  say "the first is still one: %b" (known && labelled first);
  Pool.close pool

let () =
  main
    ~scenarios:[ ("labels", many_labels) ]
    "seen"
    [
      ( "the snapshot",
        [
          test "adds up at any moment" always_adds_up;
          test "prints, and names its fields" printed;
        ] );
      ( "the text for Prometheus",
        [
          test "has the numbers of a pool" metrics;
          test "has those of many" metrics_of_many;
        ] );
      ( "histograms",
        [
          test "count each start and each end" measures;
          test "have to be asked for" unmeasured;
          test "bound their buckets" buckets;
          test "know percentiles" percentiles;
          test "are wide by a quarter at most" fine;
        ] );
      ( "what runs",
        [
          test "is listed by label, thread and age" lists;
          scenario_test "has no label whose text found no room" "labels"
            [ "left out after 256 kB: true"; "the first is still one: true" ];
        ] );
      ( "the watcher",
        [
          test "tells a function, which may raise" watched;
          test "leaves no thread behind" stops;
          test "refuses wrong limits" bad_limits;
        ] );
      ( "the trace",
        [
          test "notes every event once" traced;
          test "calls a function at each step" steps;
          test "shows what the program does itself" slices;
          test "keeps the newest" bounded;
          test "forgets when it starts again, and stops" restarted;
          test "refuses a size out of range" bad_capacity;
          test "is taken under load" traced_under_load;
        ] );
    ]
