(* SPDX-License-Identifier: ISC
   Weir_remote on farms of this process: what a call and a handler see. *)

module R = Weir_remote
module C = R.Codec

let pair = C.(pair string int)
let echo = R.job "echo" ~arg:pair ~result:pair
let fails = R.job "fails" ~arg:C.unit ~result:C.unit
let holds = R.job "holds" ~arg:C.unit ~result:C.unit
let sees = R.job "sees" ~arg:C.unit ~result:(C.pair C.string C.int)

exception Oops of int

(* A gate that is shut until it is opened. *)
module Gate = struct
  type t = { lock : Mutex.t; changed : Condition.t; mutable is_open : bool }

  let make () = { lock = Mutex.create (); changed = Condition.create (); is_open = false }

  let open_ t =
    Mutex.lock t.lock;
    t.is_open <- true;
    Condition.broadcast t.changed;
    Mutex.unlock t.lock

  let wait t =
    Mutex.lock t.lock;
    while not t.is_open do
      Condition.wait t.changed t.lock
    done;
    Mutex.unlock t.lock
end

let pool ?(threads = 1) () =
  Weir.Pool.create ~threads ~init:(fun () -> "state") ~at_exit:ignore ()

let ends_with part text =
  let n = String.length part and all = String.length text in
  all >= n && String.sub text (all - n) n = part

let until_cancelled entered _ () =
  Gate.open_ entered;
  while not (Weir.Pool.cancel_requested ()) do
    Thread.yield ()
  done

(* A farm of this process that serves itself. *)
let on_farm ?(url = "local:") ?threads ?queue_limit ?message_limit ?on_event handlers f =
  let pool = pool ?threads () in
  let farm = R.create ?queue_limit ?message_limit ?on_event url in
  if handlers <> [] then R.serve farm pool handlers;
  f farm;
  Alcotest.(check bool) "closed" true (R.close farm);
  Weir.Pool.close pool

let an_answer_comes_back () =
  on_farm
    [ R.handler echo (fun state (s, n) -> (state ^ s, n + 1)) ]
    (fun farm ->
      let answer = R.await (R.run farm echo ("x", 1)) in
      Alcotest.(check (pair string int)) "answer" ("statex", 2) answer;
      let many = List.init 500 (fun i -> R.run farm echo ("", i)) in
      let check i call = Alcotest.(check int) "each its own" (i + 1) (snd (R.await call)) in
      List.iteri check many;
      Alcotest.(check int) "settled" 501 (R.stats farm).settled)

let what_a_handler_raises_comes_back () =
  Printexc.record_backtrace true;
  on_farm
    [ R.handler fails (fun _ () -> raise (Oops 7)) ]
    (fun farm ->
      match R.await (R.run farm fails ()) with
      | () -> Alcotest.fail "no error"
      | exception R.Remote_error { job; name; text; backtrace } ->
          Alcotest.(check string) "job" "fails" job;
          Alcotest.(check bool) "name" true (ends_with "Oops" name);
          Alcotest.(check bool) "text" true (String.contains text '7');
          Alcotest.(check bool) "backtrace" true (backtrace <> ""))

let bytes_that_the_codec_refuses_are_not_run () =
  let ran = ref false in
  let other = R.job "echo" ~arg:C.int ~result:pair in
  let raw = R.job "echo" ~arg:C.bytes ~result:pair in
  on_farm
    [ R.handler echo (fun _ x -> ran := true; x) ]
    (fun farm ->
      let refused call =
        match R.await call with
        | _ -> Alcotest.fail "was run"
        | exception R.Remote_error { name; _ } -> Alcotest.(check string) "name" "Codec" name
      in
      refused (R.run farm other 1);
      refused (R.run farm raw "x");
      Alcotest.(check bool) "not run" false !ran)

let a_result_that_the_codec_refuses () =
  let other = R.job "echo" ~arg:pair ~result:C.int in
  on_farm
    [ R.handler echo (fun _ x -> x) ]
    (fun farm ->
      match R.await (R.run farm other ("", 1)) with
      | _ -> Alcotest.fail "was read"
      | exception C.Error text ->
          Alcotest.(check string)
            "says where" "job echo: result: there are 2 values, and 1 are expected" text)

let an_unknown_job_says_its_name () =
  on_farm [] (fun farm ->
      match R.await (R.run farm echo ("", 1)) with
      | _ -> Alcotest.fail "who ran it?"
      | exception R.Unknown_job text ->
          Alcotest.(check bool) "name" true (String.length text > 0))

let retries_count_as_attempts () =
  let tries (request : R.request) _ () =
    if request.attempt < 3 then raise R.Retry else (request.id, request.attempt)
  in
  on_farm
    [ R.handler_with sees tries ]
    (fun farm ->
      let call = R.run farm sees () in
      Alcotest.(check (pair string int)) "third" (R.id call, 3) (R.await call))

let a_cancel_settles_now_and_stops_the_handler () =
  let entered = Gate.make () and stopped = Gate.make () in
  let handler _ () =
    Gate.open_ entered;
    while not (Weir.Pool.cancel_requested ()) do
      Thread.yield ()
    done;
    Gate.open_ stopped
  in
  on_farm
    [ R.handler holds handler ]
    (fun farm ->
      let call = R.run farm holds () in
      Gate.wait entered;
      Alcotest.(check bool) "cancelled" true (R.cancel call = `Canceled);
      Alcotest.check_raises "at once" Weir.Canceled (fun () -> R.await call);
      Gate.wait stopped;
      Alcotest.(check bool) "again" true (R.cancel call = `Settled))

let run_within_asks_the_handler_to_stop () =
  let handler _ () =
    while not (Weir.Pool.cancel_requested ()) do
      Thread.yield ()
    done
  in
  on_farm
    [ R.handler ~run_within:0.005 holds handler ]
    (fun farm ->
      Alcotest.(check string) "its name" "Weir_remote.Timeout" (Printexc.to_string R.Timeout);
      Alcotest.check_raises "timed out" R.Timeout (fun () -> R.await (R.run farm holds ())))

(* A pool of one thread, which [work] finds taken until it opens the gate. *)
let with_a_taken_thread handlers work =
  let entered = Gate.make () and leave = Gate.make () in
  let takes _ () =
    Gate.open_ entered;
    Gate.wait leave
  in
  on_farm
    (R.handler holds takes :: handlers)
    (fun farm ->
      let first = R.run farm holds () in
      Gate.wait entered;
      work farm (fun () -> Gate.open_ leave);
      R.await first)

(* Until a timeout that is set now has passed. *)
let until_later farm timeout =
  Alcotest.check_raises "later" R.Timeout (fun () -> R.await (R.run ~timeout farm holds ()))

let run_within_does_not_count_the_wait_for_a_thread () =
  with_a_taken_thread
    [ R.handler ~run_within:1. echo (fun _ x -> x) ]
    (fun farm open_ ->
      let call = R.run farm echo ("a", 1) in
      until_later farm 1.1;
      open_ ();
      Alcotest.(check (pair string int)) "its answer" ("a", 1) (R.await call))

let what_waits_for_a_thread_has_not_started () =
  let ran = Atomic.make false in
  with_a_taken_thread
    [ R.handler echo (fun _ x -> Atomic.set ran true; x) ]
    (fun farm open_ ->
      let call = R.run ~start_within:0.02 farm echo ("a", 1) in
      Alcotest.check_raises "on time" Weir.Expired (fun () -> ignore (R.await call));
      open_ ());
  Alcotest.(check bool) "not run" false (Atomic.get ran)

let a_timeout_ends_on_time () =
  let leave = Gate.make () in
  on_farm
    [ R.handler holds (fun _ () -> Gate.wait leave) ]
    (fun farm ->
      let call = R.run ~timeout:0.005 farm holds () in
      Alcotest.check_raises "timeout" R.Timeout (fun () -> R.await call);
      Gate.open_ leave)

let full_and_large () =
  let leave = Gate.make () in
  on_farm ~queue_limit:1 ~message_limit:100
    [
      R.handler holds (fun _ () -> Gate.wait leave);
      R.handler echo (fun _ (_, n) -> (String.make 200 'x', n));
    ]
    (fun farm ->
      let first = R.run farm holds () in
      Alcotest.check_raises "full" Weir.Full (fun () -> ignore (R.run farm holds ()));
      Gate.open_ leave;
      R.await first;
      (match R.run farm echo (String.make 200 'x', 1) with
      | _ -> Alcotest.fail "the argument was too large"
      | exception R.Codec.Error text ->
          Alcotest.(check string)
            "names them"
            "job echo at local:: the argument has 204 bytes, message_limit is 100" text);
      match R.await (R.run farm echo ("", 1)) with
      | _ -> Alcotest.fail "the result was too large"
      | exception R.Remote_error { name; _ } -> Alcotest.(check string) "name" "TooLarge" name)

let two_farms_meet_by_name () =
  on_farm ~url:"local:meet"
    [ R.handler echo (fun _ x -> x) ]
    (fun _ ->
      on_farm ~url:"local:meet" [] (fun client ->
          let answer = R.await (R.run client echo ("a", 1)) in
          Alcotest.(check (pair string int)) "answer" ("a", 1) answer))

let a_close_that_cancels () =
  let entered = Gate.make () in
  let pool = pool () and farm = R.create "local:" in
  R.serve farm pool [ R.handler holds (until_cancelled entered) ];
  let call = R.run farm holds () in
  Gate.wait entered;
  Alcotest.(check bool) "not by draining" false (R.close ~within:0.005 farm);
  Alcotest.check_raises "refuses" Weir.Closed (fun () -> ignore (R.run farm holds ()));
  Alcotest.(check bool) "by cancelling" true (R.close ~mode:`Cancel farm);
  Alcotest.check_raises "closed" Weir.Closed (fun () -> R.await call);
  Alcotest.check_raises "closed for good" Weir.Closed (fun () -> ignore (R.run farm holds ()));
  Alcotest.(check bool) "again" true (R.close farm);
  Weir.Pool.close pool

(* Whatever was under way: each future has an end. *)
let every_call_ends_though_the_farm_closes_at_once () =
  let pool = pool ~threads:2 () in
  let once i =
    let farm = R.create "local:" in
    R.serve farm pool [ R.handler echo (fun _ x -> x) ];
    let calls = List.init 20 (fun n -> R.run farm echo ("", n)) in
    Alcotest.(check bool) "closed" true (R.close ~mode:(if i mod 2 = 0 then `Cancel else `Drain) farm);
    List.iter (fun call -> try ignore (R.await call) with Weir.Closed -> ()) calls
  in
  for i = 1 to 50 do
    once i
  done;
  Weir.Pool.close pool

let a_cancel_while_the_farm_closes () =
  let entered = Gate.make () in
  let pool = pool () and farm = R.create "local:" in
  R.serve farm pool [ R.handler holds (until_cancelled entered) ];
  let call = R.run farm holds () in
  Gate.wait entered;
  let closer = Thread.create (fun () -> ignore (R.close farm)) () in
  let rec until_it_refuses () =
    match R.stats farm with
    | _ ->
        Thread.yield ();
        until_it_refuses ()
    | exception Weir.Closed -> ()
  in
  until_it_refuses ();
  Alcotest.(check bool) "cancelled" true (R.cancel call = `Canceled);
  Thread.join closer;
  Alcotest.check_raises "ended" Weir.Canceled (fun () -> R.await call);
  Weir.Pool.close pool

let a_close_ends_a_run_that_waits_for_space () =
  let entered = Gate.make () and leave = Gate.make () in
  let pool = pool () and farm = R.create ~queue_limit:1 ~when_full:`Block "local:" in
  let handler _ () =
    Gate.open_ entered;
    Gate.wait leave
  in
  R.serve farm pool [ R.handler holds handler ];
  let first = R.run farm holds () in
  Gate.wait entered;
  let second () =
    match R.run farm holds () with
    | call -> ( try R.await call with Weir.Closed | Weir.Canceled -> ())
    | exception Weir.Closed -> ()
  in
  let waiter = Thread.create second () in
  let closer = Thread.create (fun () -> ignore (R.close ~mode:`Cancel farm)) () in
  (try R.await first with Weir.Closed | Weir.Canceled -> ());
  Gate.open_ leave;
  Thread.join waiter;
  Thread.join closer;
  Weir.Pool.close pool

let a_close_on_the_farm's_thread_is_refused () =
  let leave = Gate.make () in
  on_farm
    [ R.handler holds (fun _ () -> Gate.wait leave) ]
    (fun farm ->
      let told, tell = Weir.Future.outside () in
      let close _ =
        match R.close farm with
        | _ -> tell (Value "closed")
        | exception Invalid_argument _ -> tell (Value "refused")
      in
      let call = R.run farm holds () in
      Weir.Future.on_settle (R.future call) close;
      Gate.open_ leave;
      Alcotest.(check string) "by a callback" "refused" (Weir.Future.await told))

let text_of path =
  let file = open_in_bin path in
  Fun.protect
    ~finally:(fun () -> close_in file)
    (fun () -> really_input_string file (in_channel_length file))

let metrics_and_a_trace () =
  let path = Filename.temp_file "weir-remote" ".trace" in
  R.trace (Some path);
  on_farm
    [ R.handler echo (fun _ x -> x) ]
    (fun farm ->
      ignore (R.await (R.run farm echo ("a", 1)));
      let has part text = List.exists (( = ) part) (String.split_on_char '\n' text) in
      Alcotest.(check bool) "settled" true
        (has "weir_remote_settled_total{farm=\"local:\",number=\"0\"} 1" (R.metrics [ farm ])));
  Alcotest.(check string) "of none" "" (R.metrics []);
  R.trace None;
  let trace = text_of path in
  Sys.remove path;
  let is_job word = String.starts_with ~prefix:"cho" word in
  Alcotest.(check bool) "the job" true (List.exists is_job (String.split_on_char 'e' trace));
  match R.trace (Some "/no/such/file") with
  | () -> Alcotest.fail "written"
  | exception Invalid_argument _ -> ()

let options_read_back () =
  let farm =
    R.create ~queue_limit:3 ~when_full:`Drop_oldest ~give_up:2. ~reconnect:(0.5, 4.)
      "amqp://a:secret@127.0.0.1:1/v"
  in
  let o = R.options farm in
  Alcotest.(check bool) "limit" true (o.queue_limit = Some 3 && o.when_full = `Drop_oldest);
  Alcotest.(check bool) "times" true (o.give_up = 2. && o.reconnect = (0.5, 4.));
  Alcotest.(check bool) "a default" true (o.heartbeat = 10.);
  Alcotest.(check string) "no password" "amqp://a:***@127.0.0.1:1/v" o.url;
  ignore (R.close ~mode:`Cancel farm)

let bad_arguments_are_named () =
  let refused what f =
    match f () with
    | _ -> Alcotest.failf "%s was taken" what
    | exception Invalid_argument text ->
        let n = String.length what in
        let rec has i =
          i + n <= String.length text && (String.sub text i n = what || has (i + 1))
        in
        if not (has 0) then Alcotest.failf "%S does not name %s" text what
  in
  refused "scheme" (fun () -> ignore (R.create "ftp://x"));
  refused "give_up" (fun () -> ignore (R.create ~give_up:(-1.) "local:"));
  refused "queue_limit" (fun () -> ignore (R.create ~queue_limit:0 "local:"));
  refused "zero byte" (fun () -> ignore (R.create "local:\000"));
  refused "a b" (fun () -> ignore (R.job "a b" ~arg:C.unit ~result:C.unit));
  refused "local:" (fun () -> R.declare "local:" [ "x" ]);
  on_farm [] (fun farm ->
      refused "timeout" (fun () -> ignore (R.run ~timeout:0. farm echo ("", 1)));
      let pool = pool () in
      let h = R.handler echo (fun _ x -> x) in
      refused "twice" (fun () -> R.serve farm pool [ h; h ]);
      R.serve farm pool [ h ];
      refused "serves" (fun () -> R.serve farm pool [ h ]);
      Weir.Pool.close pool)

let a_full_pool_gives_the_job_back () =
  let leave = Gate.make () in
  let pool = Weir.Pool.create ~threads:1 ~init:ignore ~at_exit:ignore () in
  let farm = R.create "local:" in
  R.serve farm pool [ R.handler holds (fun () () -> Gate.wait leave) ];
  Weir.Pool.close pool;
  (match R.await (R.run farm holds ()) with
  | () -> Alcotest.fail "nobody could run it"
  | exception R.Lost _ -> ());
  ignore (R.close farm)

let threads_and_cancels_at_once () =
  on_farm ~threads:2
    [ R.handler echo (fun _ x -> x) ]
    (fun farm ->
      let ended = Atomic.make 0 in
      let one i =
        let call = R.run farm echo ("", i) in
        if i mod 3 = 0 then ignore (R.cancel call);
        (match R.await call with
        | _, n -> assert (n = i)
        | exception Weir.Canceled -> assert (i mod 3 = 0));
        Atomic.incr ended
      in
      let body () = for i = 1 to 300 do one i done in
      List.iter Thread.join (List.init 4 (fun _ -> Thread.create body ()));
      Alcotest.(check int) "all ended" 1200 (Atomic.get ended))

let test name f = Alcotest.test_case name `Quick f

let () =
  (* A test that hangs says which. *)
  ignore (Unix.alarm 300);
  Alcotest.run "remote"
    [
      ( "calls",
        [
          test "an answer comes back" an_answer_comes_back;
          test "what a handler raises comes back" what_a_handler_raises_comes_back;
          test "bytes that the codec refuses are not run" bytes_that_the_codec_refuses_are_not_run;
          test "a result that the codec refuses" a_result_that_the_codec_refuses;
          test "an unknown job says its name" an_unknown_job_says_its_name;
          test "a cancel settles now and stops the handler"
            a_cancel_settles_now_and_stops_the_handler;
          test "a timeout ends on time" a_timeout_ends_on_time;
          test "a full farm, a large message" full_and_large;
          test "threads and cancels at once" threads_and_cancels_at_once;
        ] );
      ( "serving",
        [
          test "retries count as attempts" retries_count_as_attempts;
          test "run_within asks the handler to stop" run_within_asks_the_handler_to_stop;
          test "run_within does not count the wait for a thread"
            run_within_does_not_count_the_wait_for_a_thread;
          test "what waits for a thread has not started" what_waits_for_a_thread_has_not_started;
          test "a closed pool gives the job back" a_full_pool_gives_the_job_back;
          test "two farms meet by name" two_farms_meet_by_name;
        ] );
      ( "farms",
        [
          test "a close that cancels" a_close_that_cancels;
          test "every call ends though the farm closes at once"
            every_call_ends_though_the_farm_closes_at_once;
          test "a cancel while the farm closes" a_cancel_while_the_farm_closes;
          test "a close ends a run that waits for space" a_close_ends_a_run_that_waits_for_space;
          test "a close on the farm's thread is refused"
            a_close_on_the_farm's_thread_is_refused;
          test "metrics and a trace" metrics_and_a_trace;
          test "options read back" options_read_back;
          test "bad arguments are named" bad_arguments_are_named;
        ] );
    ]
