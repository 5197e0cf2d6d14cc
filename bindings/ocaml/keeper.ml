(* SPDX-License-Identifier: ISC
   A thread with a main of its own, where there is no other: somebody has to make a
   lost thread's replacement, and to tell that a task's start deadline has passed when
   every worker is stuck. One per process, made when it is first needed. *)

type t = { pid : int; main : Main.t }

let mutex = Mutex.create ()
let current : t option ref = ref None

let serve main =
  let fds = [| Main.fd main |] in
  while true do
    Raw.poll fds;
    Error.protect Error.report (fun () -> ignore (Main.dispatch main)) ()
  done

let start () =
  let ready = Event.new_channel () in
  let body () =
    let main = Main.make ~hidden:true Error.report in
    Event.sync (Event.send ready main);
    serve main
  in
  ignore (Thread.create body ());
  { pid = Unix.getpid (); main = Event.sync (Event.receive ready) }

(* After a fork the parent's stayed behind. *)
let main () =
  Mutex.lock mutex;
  let keeper =
    match !current with Some keeper when keeper.pid = Unix.getpid () -> keeper | _ -> start ()
  in
  current := Some keeper;
  Mutex.unlock mutex;
  keeper.main
