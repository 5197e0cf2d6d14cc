(* SPDX-License-Identifier: ISC
   One user event, whose value is text: what begins or ends, the thread, pool and label. *)

module Events = Runtime_events
module Trace = Weir.Trace

type Events.User.tag += Task

(* A value is no longer than the buffer; what is cut off is the label's end. *)
let encode buffer { Trace.pool; thread; label; begins } =
  let text = Printf.sprintf "%c%d\000%s\000%s" (if begins then 'b' else 'e') thread pool label in
  let length = min (String.length text) (Bytes.length buffer) in
  Bytes.blit_string text 0 buffer 0 length;
  length

let unknown = { Trace.pool = "?"; thread = -1; label = ""; begins = false }

let decode buffer length =
  match String.split_on_char '\000' (Bytes.sub_string buffer 0 length) with
  | head :: pool :: label when head <> "" ->
    let number = String.sub head 1 (String.length head - 1) in
    let thread = Option.value ~default:(-1) (int_of_string_opt number) in
    { Trace.pool; thread; label = String.concat "?" label; begins = head.[0] = 'b' }
  | _ -> unknown

let steps = Events.Type.register ~encode ~decode
let event = Events.User.register "weir.task" Task steps

let start () =
  Events.start ();
  Trace.on_step (Some (Events.User.write event))

let stop () = Trace.on_step None

(* Reading *)

let add f callbacks =
  let hear _ring time event step = if Events.User.tag event = Task then f time step in
  Events.Callbacks.add_user_event steps hear callbacks

type ended = { step : Trace.step; ns : int64 }

(* A thread runs one task at a time, so that its end is the end of the one it began. *)
let pairs f =
  let begun = Hashtbl.create 16 in
  fun time (step : Trace.step) ->
    let key = (step.pool, step.thread) and now = Events.Timestamp.to_int64 time in
    if step.begins then Hashtbl.replace begun key now
    else begin
      Option.iter (fun since -> f { step; ns = Int64.sub now since }) (Hashtbl.find_opt begun key);
      Hashtbl.remove begun key
    end

let pp f { step = { pool; thread; label; _ }; ns } =
  let label = if label = "" then "(no label)" else String.escaped label in
  Format.fprintf f "%s/%d %s %.3f ms" (String.escaped pool) thread label (Int64.to_float ns /. 1e6)

(* Another process *)

let lives pid =
  match Unix.kill pid 0 with
  | () | (exception Unix.Unix_error (Unix.EPERM, _, _)) -> true
  | exception Unix.Unix_error _ -> false

(* What it wrote before it ended is read after that was seen. *)
let rec poll cursor callbacks pid =
  let alive = lives pid in
  ignore (Events.read_poll cursor callbacks None);
  if alive then begin
    Unix.sleepf 0.05;
    poll cursor callbacks pid
  end

let follow ?(lost = ignore) ~dir pid f =
  let cursor = Events.create_cursor (Some (dir, pid)) in
  let lost_events _ring n = lost n in
  let callbacks = add (pairs f) (Events.Callbacks.create ~lost_events ()) in
  Fun.protect ~finally:(fun () -> Events.free_cursor cursor) (fun () -> poll cursor callbacks pid)
