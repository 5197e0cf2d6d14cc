(* SPDX-License-Identifier: ISC
   A thread of weir's own with a main, for programs that have none. It makes the threads
   that a pool asks for, and it calls the callbacks of tasks that settle while every thread
   of their pool is stuck. There is one per process, made when it is first needed. *)

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

(* In the child of a fork the parent's keeper does not run. *)
let main () =
  Mutex.lock mutex;
  let keeper =
    match !current with Some keeper when keeper.pid = Unix.getpid () -> keeper | _ -> start ()
  in
  current := Some keeper;
  Mutex.unlock mutex;
  keeper.main
