(* SPDX-License-Identifier: ISC
   Weir_remote_lwt: promises on the loop's thread. *)

open Lwt.Syntax
module R = Weir_remote
module L = Weir_remote_lwt

let echo = R.job "echo" ~arg:R.Codec.int ~result:R.Codec.int
let holds = R.job "holds" ~arg:R.Codec.unit ~result:R.Codec.unit

let until_cancelled () () =
  while not (Weir.Pool.cancel_requested ()) do
    Thread.yield ()
  done

let on_farm f () =
  Lwt_main.run
    (let* pool = Weir_lwt.create ~threads:1 ~init:ignore ~at_exit:ignore () in
     let farm = R.create "local:" in
     L.serve farm pool [ R.handler echo (fun () n -> n + 1); R.handler holds until_cancelled ];
     let* () = f farm in
     let* closed = L.close farm in
     Alcotest.(check bool) "closed" true closed;
     Weir_lwt.close pool)

let answers farm =
  let loop = Thread.id (Thread.self ()) in
  let+ many = Lwt_list.map_p (fun n -> L.run farm echo n) (List.init 200 Fun.id) in
  Alcotest.(check int) "on the loop's thread" loop (Thread.id (Thread.self ()));
  Alcotest.(check (list int)) "each its own" (List.init 200 succ) many

let failing expected promise =
  Lwt.catch
    (fun () ->
      let+ _ = promise in
      Alcotest.fail "no failure")
    (fun exn ->
      Alcotest.(check string) "failure" (Printexc.to_string expected) (Printexc.to_string exn);
      Lwt.return_unit)

let timeouts farm = failing R.Timeout (L.run ~timeout:0.005 farm holds ())

let cancels farm =
  let promise = L.run farm holds () in
  Lwt.cancel promise;
  let* () = failing Lwt.Canceled promise in
  let+ n = L.run farm echo 1 in
  Alcotest.(check int) "the thread is free again" 2 n

let refuses_when_closed _ =
  let farm = R.create "local:" in
  let* _ = L.close farm in
  failing Weir.Closed (L.run farm echo 1)

(* Dispatch of the loop's main is the only thing that resolves: the loop turns meanwhile. *)
let the_loop_turns farm =
  let turns = ref 0 in
  let rec turn () =
    incr turns;
    let* () = Lwt.pause () in
    if !turns < 1_000_000_000 then turn () else Lwt.return_unit
  in
  let turning = turn () in
  let* n = L.run farm echo 5 in
  Lwt.cancel turning;
  Alcotest.(check int) "answer" 6 n;
  Alcotest.(check bool) "turned" true (!turns > 0);
  Lwt.return_unit

let () =
  ignore (Unix.alarm 300);
  let test name f = Alcotest.test_case name `Quick (on_farm f) in
  Alcotest.run "remote, Lwt"
    [
      ( "promises",
        [
          test "answers come on the loop's thread" answers;
          test "a timeout rejects" timeouts;
          test "Lwt.cancel cancels the job" cancels;
          test "a closed farm rejects" refuses_when_closed;
          test "the loop turns meanwhile" the_loop_turns;
        ] );
    ]
