(* SPDX-License-Identifier: ISC
   peer worker URL | peer client URL: one side of a pair of programs; ../../test/pairs/pairs.pl has the
   words that they say and hear. *)

module R = Weir_remote
module C = R.Codec

let pair = C.(pair string int)
let echo = R.job "echo" ~arg:pair ~result:pair
let raises = R.job "raises" ~arg:pair ~result:pair
let holds = R.job "holds" ~arg:pair ~result:pair
let stops = R.job "stops" ~arg:pair ~result:pair
let hogs = R.job "hogs" ~arg:pair ~result:pair
let lock = Mutex.create ()

let say fmt =
  let line text =
    Mutex.lock lock;
    print_endline text;
    Mutex.unlock lock
  in
  Printf.ksprintf line fmt

(* Short, so that what they end does not last. *)
let farm url = R.create ~heartbeat:2. ~reconnect:(0.02, 0.2) ~reply_life:5. url

let until_cancelled () =
  while not (Weir.Pool.cancel_requested ()) do
    Thread.delay 0.002
  done

let hold (request : R.request) () x =
  say "holds %d" request.attempt;
  if request.attempt = 1 then until_cancelled ();
  x

(* What ran may run again when its worker is killed: not with these words. *)
let stop (request : R.request) () x =
  if request.attempt = 1 then begin
    say "stops";
    until_cancelled ();
    say "stopped"
  end;
  x

(* Nothing else of OCaml's gets far meanwhile. *)
let hog (request : R.request) () x =
  say "hogs %d" request.attempt;
  let until = Unix.gettimeofday () +. 5. in
  while Unix.gettimeofday () < until do
    ()
  done;
  x

let worker url =
  let pool = Weir.Pool.create ~threads:2 ~init:ignore ~at_exit:ignore () in
  let farm = farm url in
  R.serve farm pool
    [
      R.handler echo (fun () x -> x);
      R.handler raises (fun () _ -> failwith "on purpose");
      R.handler_with holds hold;
      R.handler_with stops stop;
      R.handler_with hogs hog;
    ];
  say "ready";
  let mode = match input_line stdin with _ -> `Cancel | exception End_of_file -> `Drain in
  if not (R.close ~mode ~within:0.01 farm) then say "drains";
  ignore (R.close farm);
  Weir.Pool.close pool;
  say "ended"

let jobs = [ ("echo", echo); ("raises", raises); ("holds", holds); ("stops", stops); ("hogs", hogs) ]

let tell (outcome : _ Weir.Future.outcome) =
  match outcome with
  | Value (text, n) -> say "ok %d %d" (String.length text) n
  | Raised (R.Remote_error { name; text; _ }, _) -> say "raised %s %s" name text
  | Raised (exn, _) -> say "failed %s" (Printexc.to_string exn)
  | Canceled -> say "cancelled"
  | Closed | Expired | Full -> say "failed"

let client url =
  let farm = farm url in
  let last = ref None in
  let run name size n =
    let call = R.run farm (List.assoc name jobs) (String.make size 'x', n) in
    Weir.Future.on_settle (R.future call) tell;
    last := Some call
  in
  let cancel () = match !last with Some call -> ignore (R.cancel call) | None -> () in
  let obey line =
    match String.split_on_char ' ' line with
    | [ name; size; n ] -> run name (int_of_string size) (int_of_string n)
    | _ -> cancel ()
  in
  say "ready";
  let rec listen () =
    match input_line stdin with
    | line ->
        obey line;
        listen ()
    | exception End_of_file -> ()
  in
  listen ();
  ignore (R.close farm);
  say "ended"

let () =
  match Sys.argv with
  | [| _; "worker"; url |] -> worker url
  | [| _; "client"; url |] -> client url
  | _ -> prerr_endline "usage: peer worker|client URL"; exit 2
