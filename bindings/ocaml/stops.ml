(* SPDX-License-Identifier: ISC
   What stops the calls that running tasks are in.

     Armed --a cancel, once--> Stopping --stop has returned--> Over

   A cancel makes its request in the core, then looks here. A task notes its stop here, then
   looks for the request. So one of them sees the other, and if both do, the first to leave
   Armed calls the stop. The task leaves its section when no stop of it is Stopping. *)

type section = { stop : unit -> unit; mutable state : [ `Armed | `Stopping | `Over ] }

let mutex = Mutex.create ()
let over = Condition.create ()

(* A task's innermost section stands in front. *)
let sections : (int, section) Hashtbl.t = Hashtbl.create 16

let locked f =
  Mutex.lock mutex;
  Fun.protect ~finally:(fun () -> Mutex.unlock mutex) f

let claim section =
  locked (fun () ->
      let mine = section.state = `Armed in
      if mine then section.state <- `Stopping;
      mine)

let finish section =
  locked (fun () ->
      section.state <- `Over;
      Condition.broadcast over)

let stop section =
  if claim section then begin
    Error.protect Error.report section.stop ();
    finish section
  end

(* The task was asked to stop. *)
let requested id = Option.iter stop (locked (fun () -> Hashtbl.find_opt sections id))

let enter id section =
  locked (fun () -> Hashtbl.add sections id section);
  if Raw.cancel_requested () then stop section

(* The request may have found only this section: the outer one's turn is now. *)
let leave id section =
  locked (fun () ->
      Hashtbl.remove sections id;
      while section.state = `Stopping do
        Condition.wait over mutex
      done);
  if Raw.cancel_requested () then requested id

let around stop f =
  let id = Raw.current () in
  if id < 0 then f ()
  else begin
    let section = { stop; state = `Armed } in
    enter id section;
    Fun.protect ~finally:(fun () -> leave id section) f
  end
