(* SPDX-License-Identifier: ISC
   Mains: the mailbox of a thread that runs an event loop. *)

(* A call whose function runs now. *)
type served = {
  link : Promise.pool_link option; (* the pool whose thread called *)
  mutable wanted : (unit -> bool) list; (* per task that it ran in that pool: unsettled? *)
  give_up : exn -> unit; (* ends the call *)
}

type t = {
  raw : Raw.main;
  owner : int;
  uncaught : Error.handler;
  hidden : bool; (* weir's own: a call goes there only by name *)
  mutable is_open : bool;
  delivery : Raw.delivery; (* of the outermost dispatch *)
  mutable depth : int; (* of dispatches *)
  mutable telling : int; (* pending in the core only because its callbacks run now *)
  mutable serving : served list; (* the innermost call first *)
  mutable on_busy : [ `Busy | `Idle ] -> unit;
  mutable busy : bool;
}

(* The open mains, to find those of the calling thread. *)
let all : t list Atomic.t = Atomic.make []

let rec update change =
  let was = Atomic.get all in
  if not (Atomic.compare_and_set all was (change was)) then update change

let self () = Thread.id (Thread.self ())
let owned_here t = t.owner = self ()

let of_thread () =
  match Atomic.get all with
  | [] -> []
  | mains ->
      let me = self () in
      List.filter (fun t -> t.owner = me) mains

let raw who t =
  if not t.is_open then invalid_arg (who ^ ": the main is closed");
  t.raw

let own who t =
  let raw = raw who t in
  if not (owned_here t) then invalid_arg (who ^ ": not on the thread that opened this main");
  raw

let ignore_busy _ = ()

let make ~hidden uncaught =
  let raw = Raw.main_open () in
  let code = (raw :> int) in
  if code = Raw.out_of_memory then raise Out_of_memory
  else if code < 0 then raise (Unix.Unix_error (Unix.EMFILE, "Weir.Main.create", ""));
  let t =
    {
      raw;
      owner = self ();
      uncaught;
      hidden;
      is_open = true;
      delivery = Raw.delivery ();
      depth = 0;
      telling = 0;
      serving = [];
      on_busy = ignore_busy;
      busy = false;
    }
  in
  update (fun mains -> t :: mains);
  t

(* ^C is meant for the program, not for the callback. *)
let report exn trace =
  match exn with
  | Sys.Break -> Printexc.raise_with_backtrace exn trace
  | exn -> Error.report exn trace

let create ?(uncaught = report) () = make ~hidden:false uncaught
let uncaught t = t.uncaught
let fd t = Raw.main_fd (raw "Weir.Main.fd" t)

(* While a dispatch goes on, another domain may read the two at different moments. *)
let pending t = Int.max 0 (Raw.main_pending (raw "Weir.Main.pending" t) - t.telling)

let look_busy t =
  if t.is_open && t.depth = 0 then begin
    let busy = Raw.main_pending t.raw > 0 in
    if busy <> t.busy then begin
      t.busy <- busy;
      t.on_busy (if busy then `Busy else `Idle)
    end
  end

let on_busy t f =
  ignore (own "Weir.Main.on_busy" t);
  t.on_busy <- Option.value f ~default:ignore_busy;
  look_busy t;
  if t.busy then t.on_busy `Busy

(* After a call that may have added to what is pending in [t]. *)
let submitted t = if t.on_busy != ignore_busy && owned_here t then look_busy t

(* Inside a callback that polls the descriptor: the dispatch that called it has read the
   descriptor, and what came with the callback's delivery is still to be delivered. *)
let rouse t = if t.is_open && t.depth > 0 then Raw.main_rearm t.raw

(* Whatever is raised from here on, this delivery has been made. *)
let deliver_one (d : Raw.delivery) =
  let index = d.index in
  d.index <- Raw.no_index;
  Promise.deliver index d.code

let rec deliver t (d : Raw.delivery) outer n max =
  t.telling <- outer + d.pends;
  deliver_one d;
  if n <> max && Raw.main_next t.raw d then deliver t d outer (n + 1) max else n

(* A signal's handler may have raised between the stub and the delivery that it took. *)
let leave t (d : Raw.delivery) outer =
  if d.index <> Raw.no_index then Error.protect (Promise.raise_in t.raw) deliver_one d;
  Raw.delivery_end d;
  t.telling <- outer;
  t.depth <- t.depth - 1;
  look_busy t

(* The handler of a signal that came during the wait runs at the allocation, while the
   delivery is still to be made. *)
let first t ns d =
  if ns = 0 then Raw.main_next t.raw d
  else !(Sys.opaque_identity (ref (Raw.main_wait_next t.raw ns d)))

(* When an exception leaves, what has not been delivered stays in the core's main, in order. *)
let dispatch_within ns t max =
  let d = if t.depth = 0 then t.delivery else Raw.delivery () and outer = t.telling in
  t.depth <- t.depth + 1;
  match if first t ns d then deliver t d outer 1 max else 0 with
  | n ->
      leave t d outer;
      n
  | exception exn ->
      let trace = Printexc.get_raw_backtrace () in
      leave t d outer;
      Printexc.raise_with_backtrace exn trace

let dispatch ?(max = 0) t =
  ignore (own "Weir.Main.dispatch" t);
  dispatch_within 0 t max

let ns_of = function
  | None -> -1
  | Some s when s < 4e9 -> int_of_float (Float.max 0. s *. 1e9)
  | Some _ -> -1

let wait ?timeout t =
  ignore (own "Weir.Main.wait" t);
  let ns = if timeout = None && pending t = 0 then 0 else ns_of timeout in
  dispatch_within ns t 0

let close ?(detach = false) t =
  if t.is_open then begin
    let raw = own "Weir.Main.close" t in
    if t.depth > 0 then failwith "Weir.Main.close: inside its own dispatch";
    t.is_open <- false;
    let code = Raw.main_close raw ~detach in
    t.is_open <- code <> 0;
    if code = 0 then begin
      update (List.filter (fun other -> other != t));
      if t.busy then t.on_busy `Idle
    end;
    Promise.drain ();
    if code <> 0 then failwith "Weir.Main.close: tasks aimed at this main still run"
  end

(* run_in_main *)

type 'a reply = {
  mutable call : Raw.call option;
  mutable result : ('a, exn * Printexc.raw_backtrace) result option;
  mutable given_up : bool;
  mutable leave : unit -> unit; (* no more counted among the calls that wait for their own pool *)
}

let end_call reply call result =
  reply.call <- None;
  reply.result <- Some result;
  reply.leave ();
  Raw.call_finish call

let finish reply result =
  match reply.call with
  | Some call -> end_call reply call result
  | None -> if not reply.given_up then invalid_arg "Weir.Main.finish: finished already"

let give_up reply exn =
  match reply.call with
  | None -> ()
  | Some call ->
      reply.given_up <- true;
      end_call reply call (Error (exn, Printexc.get_callstack 0))

(* How many such functions run, on any thread. Most of the time it is 0. *)
let served_now = Atomic.make 0

let served_here () =
  if Atomic.get served_now = 0 then []
  else List.concat_map (fun t -> t.serving) (of_thread ())

let is_from link served = match served.link with Some own -> own == link | None -> false
let calls_from link = List.length (List.filter (is_from link) (served_here ()))

(* A function that a task's thread waits for has run another task of the same pool. *)
let wants link future =
  if Atomic.get served_now > 0 then begin
    let keeps () = Promise.keeps_waiting future in
    let note served = served.wanted <- keeps :: served.wanted in
    List.iter note (List.filter (is_from link) (served_here ()))
  end

(* The function has returned without ending the call. *)
let wait_for_end who served reply =
  let waits () = List.exists (fun keeps -> keeps ()) served.wanted in
  match served.link with
  | Some link when waits () ->
      Stuck.enter link waits;
      reply.leave <- (fun () -> Stuck.leave link waits);
      if Stuck.is_stuck link then served.give_up (Stuck.error who link)
  | _ -> ()

(* When the program exits inside such a function, it never returns. *)
let exiting () =
  List.iter (fun served -> served.give_up Error.Closed) (served_here ())

(* The caller gets what [f] raises. ^C goes to the program as well. *)
let run_call t f reply =
  try f reply
  with exn -> (
    let trace = Printexc.get_raw_backtrace () in
    let is_ended = reply.call = None in
    if not is_ended then finish reply (Error (exn, trace));
    match exn with
    | Sys.Break -> t.uncaught exn trace
    | exn -> if is_ended then t.uncaught exn trace)

let serve who t link f reply call =
  let served = { link; wanted = []; give_up = (fun exn -> give_up reply exn) } in
  reply.call <- Some call;
  t.serving <- served :: t.serving;
  Atomic.incr served_now;
  let returned () =
    t.serving <- List.tl t.serving;
    Atomic.decr served_now
  in
  Fun.protect ~finally:returned (fun () -> run_call t f reply);
  if reply.call <> None then wait_for_end who served reply

let result_of who reply code =
  match reply.result with
  | Some result when code = 0 -> result
  | _ -> raise (Error.of_code who code)

(* The main of the caller's task, else the first one of the process. *)
let unnamed () =
  let task's = Raw.current_main () in
  let mains = List.filter (fun t -> not t.hidden) (Atomic.get all) in
  match (List.find_opt (fun t -> t.raw = task's) mains, List.rev mains) with
  | Some t, _ | None, t :: _ -> t
  | None, [] -> raise Error.Closed

let target = function
  | None -> unnamed ()
  | Some t when t.is_open -> t
  | Some _ -> raise Error.Closed

let call ?(who = "Weir.Main.call") ?main f =
  let t = target main in
  let reply = { call = None; result = None; given_up = false; leave = ignore } in
  let link = Stuck.link_here () in
  let id = Promise.slot_for (Promise.Call (fun call -> serve who t link f reply call)) in
  let code = Raw.run_in_main t.raw id in
  Promise.drop (Raw.index id);
  Promise.drain ();
  match result_of who reply code with
  | Ok x -> x
  | Error (exn, trace) -> Printexc.raise_with_backtrace exn trace

let run_in ?main f =
  call ~who:"Weir.Main.run_in" ?main (fun reply -> finish reply (Ok (f ())))

let post ?main f =
  let t = target main in
  let id = Promise.slot_for (Promise.Notice (fun _ -> Error.protect t.uncaught f ())) in
  let code = Raw.main_post t.raw id in
  if code <> 0 then begin
    Promise.drop (Raw.index id);
    raise (Error.of_code "Weir.Main.post" code)
  end;
  submitted t
