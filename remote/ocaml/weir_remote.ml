(* SPDX-License-Identifier: ISC
   A farm has a thread that waits at its desk. What comes there finds, by its number, the call
   that it answers, or the pool's task that it asks to stop.

   A call is in [calls] from before its run until its answer is taken, so that no answer meets
   nobody. Its job is dropped with the answer, under the lock, so that a cancel finds a job that
   is there or none; a job without an answer keeps its farm. [tasks] is the thread's own but for the removal. *)

module Codec = Codec
module Future = Weir.Future
include Failure

type when_full = Settings.when_full
type event = { code : int; sentence : string }

type options = Settings.t = {
  url : string;
  credentials_file : string option;
  ca_file : string option;
  queue_limit : int option;
  when_full : when_full;
  message_limit : int;
  give_up : float;
  heartbeat : float;
  reconnect : float * float;
  reply_life : float;
  connect_within : float;
  consumer_timeout : float;
}

type stats = Raw.stats = {
  connected : bool;
  in_flight : int;
  waiting : int;
  requests : int;
  submitted : int;
  settled : int;
  published : int;
  confirmed : int;
  republished : int;
  duplicates : int;
  refused : int;
  served : int;
  connects : int;
}

type expected = { mutable job : Raw.job; take : Raw.item -> unit }

type task = Task : _ Future.t -> task

(* Runs a request's handler; gets what the request is. The task's end answers it. *)
type start = Raw.request_info -> Raw.item -> task

type mode = [ `Drain | `Cancel ]

type t = {
  desk : Raw.desk;
  farm : Raw.farm;
  blocks : bool; (* run may wait *)
  on_event : event -> unit;
  lock : Mutex.t;
  calls : (int, expected) Hashtbl.t;
  tasks : (int, task) Hashtbl.t;
  mutable starts : (string * start) list;
  mutable numbers : int;
  mutable state : [ `Open | `Closing | `Closed ]; (* closed: [farm] is no more *)
  mutable users : int; (* calls of the farm's functions under way: it is not closed meanwhile *)
  mutable thread : Thread.t option;
  has_server : bool;
  most_bytes : int; (* of an argument *)
  mutable winds_down : mode option; (* of a close that has begun; it may have timed out since *)
  changed : Condition.t; (* state or users *)
}

let locked t f =
  Mutex.lock t.lock;
  match f () with
  | x ->
      Mutex.unlock t.lock;
      x
  | exception exn ->
      let trace = Printexc.get_raw_backtrace () in
      Mutex.unlock t.lock;
      Printexc.raise_with_backtrace exn trace

let report exn trace =
  prerr_endline ("weir-remote: " ^ Printexc.to_string exn);
  Printexc.print_raw_backtrace stderr trace

let protect f x = try f x with exn -> report exn (Printexc.get_raw_backtrace ())

(* ---- what comes to the desk ---- *)

let take_answer t (item : Raw.item) =
  let take () =
    let expected = Hashtbl.find t.calls item.number in
    Hashtbl.remove t.calls item.number;
    if expected.job != Raw.no_job then Raw.unref expected.job;
    expected.job <- Raw.no_job;
    expected
  in
  (locked t take).take item

let give_back request =
  ignore (Raw.retry request);
  Raw.release request

(* Without memory, or when the pool is full or closed, another worker may have better luck. *)
let take_request t (item : Raw.item) =
  match
    let info = Raw.request_info item.request in
    (List.assoc info.name t.starts) info item
  with
  | Task future as task ->
      locked t (fun () -> Hashtbl.replace t.tasks item.number task);
      Future.on_settle future (fun _ -> locked t (fun () -> Hashtbl.remove t.tasks item.number))
  | exception _ -> give_back item.request

let stop_request t (item : Raw.item) =
  let task = locked t (fun () -> Hashtbl.find_opt t.tasks item.number) in
  Option.iter (fun (Task future) -> ignore (Future.cancel future)) task

let take t (item : Raw.item) =
  match item.kind with
  | Answer -> take_answer t item
  | Request -> take_request t item
  | Stop -> stop_request t item
  | Event -> t.on_event { code = item.outcome; sentence = item.error_text }

let rec take_all t =
  match Raw.desk_take t.desk with
  | None -> ()
  | Some item ->
      protect (take t) item;
      take_all t

(* After a close something may still come: a call that settled before, and was not told. *)
let rec serve_desk t =
  Raw.desk_wait t.desk;
  take_all t;
  if locked t (fun () -> t.state) = `Closed && not (Raw.pending t.desk) then
    Raw.desk_close t.desk
  else serve_desk t

(* ---- farms ---- *)

(* The desk belongs to the thread that opens it. *)
let is_local (options : Raw.options) = String.starts_with ~prefix:"local:" options.url

let farm_of options blocks on_event desk =
  match Raw.farm_open desk options with
  | exception exn ->
      Raw.desk_close desk;
      raise exn
  | farm ->
      let calls = Hashtbl.create 64 and tasks = Hashtbl.create 16 and lock = Mutex.create () in
      let changed = Condition.create () in
      {
        desk; farm; blocks; on_event; lock; changed; calls; tasks;
        starts = []; numbers = 0; users = 0; state = `Open; thread = None;
        has_server = not (is_local options); winds_down = None;
        most_bytes = (Raw.farm_options farm).message_limit;
      }

let all_signals = List.init 64 (fun i -> i + 1)

let block_signals () =
  let block signal = try ignore (Thread.sigmask SIG_BLOCK [ signal ]) with _ -> () in
  List.iter block all_signals

let start options blocks on_event =
  let opened = Event.new_channel () in
  let body () =
    block_signals ();
    match farm_of options blocks on_event (Raw.desk_open ()) with
    | exception exn -> Event.sync (Event.send opened (Error exn))
    | t ->
        Event.sync (Event.send opened (Ok t));
        serve_desk t
  in
  let thread = Thread.create body () in
  match Event.sync (Event.receive opened) with
  | Ok t ->
      t.thread <- Some thread;
      t
  | Error exn -> raise exn

let create ?credentials_file ?ca_file ?queue_limit ?(when_full = `Reject) ?message_limit ?give_up
    ?heartbeat ?reconnect ?reply_life ?connect_within ?consumer_timeout ?(on_event = ignore) url =
  let who = "Weir_remote.create" in
  let ns = Settings.ns_option who and count = Settings.count who in
  let options =
    {
      (Settings.plain ?credentials_file ?ca_file who url) with
      queue_limit = count "queue_limit" queue_limit;
      when_full = Settings.to_policy when_full;
      message_limit = count "message_limit" message_limit;
      give_up = ns "give_up" give_up;
      heartbeat = ns "heartbeat" heartbeat;
      reconnect_min = ns "the first of reconnect" (Option.map fst reconnect);
      reconnect_max = ns "the second of reconnect" (Option.map snd reconnect);
      reply_life = ns "reply_life" reply_life;
      connect_within = ns "connect_within" connect_within;
      consumer_timeout = ns "consumer_timeout" consumer_timeout;
    }
  in
  start options (queue_limit <> None && when_full = `Block) on_event

(* [f] may use the farm, which is not freed meanwhile. *)
let using t f =
  let enter () =
    if t.state <> `Open then raise Weir.Closed;
    t.users <- t.users + 1
  and leave () =
    t.users <- t.users - 1;
    Condition.broadcast t.changed
  in
  locked t enter;
  Fun.protect ~finally:(fun () -> locked t leave) f

let options t = Settings.shown (using t (fun () -> Raw.farm_options t.farm))
let stats t = using t (fun () -> Raw.stats t.farm)

let metrics farms =
  let rec of_all = function
    | [] -> Raw.metrics (Array.of_list (List.map (fun t -> t.farm) farms))
    | t :: rest -> using t (fun () -> of_all rest)
  in
  if farms = [] then "" else of_all farms

let trace path =
  let who = "Weir_remote.trace" in
  if path = Some "" then invalid_arg (who ^ ": the path is empty");
  let path = match path with Some path -> Settings.text who "the path" path | None -> "" in
  match Raw.trace path with 0 -> () | code -> Failure.raise_of code

let on_own_thread t =
  match t.thread with Some thread -> Thread.id thread = Thread.id (Thread.self ()) | None -> true

let cancel_all_locked t =
  Hashtbl.iter (fun _ e -> if e.job != Raw.no_job then ignore (Raw.cancel e.job)) t.calls

(* Nobody may be in a function of the farm when it is freed, and nobody enters one once it closes.
   Who waits there for space gets it when a job ends, so with [`Cancel] all are ended. *)
let until_unused_locked t mode =
  while t.users > 0 do
    if mode = `Cancel then cancel_all_locked t;
    Condition.wait t.changed t.lock
  done

(* False: another close has ended it. *)
let begin_close t mode =
  locked t (fun () ->
      while t.state = `Closing do
        Condition.wait t.changed t.lock
      done;
      let is_mine = t.state = `Open in
      if is_mine then begin
        t.state <- `Closing;
        t.winds_down <- Some mode;
        until_unused_locked t mode
      end;
      is_mine)

(* The farm's thread frees the desk when it sees that it is closed: not before the nudge. *)
let become t state =
  locked t (fun () ->
      t.state <- state;
      if state = `Closed then Raw.nudge t.desk;
      Condition.broadcast t.changed)

let close_begun t mode within =
  let code = Raw.farm_close t.farm (match mode with `Drain -> 0 | `Cancel -> 1) within in
  become t (if code = 0 then `Closed else `Open);
  if code <> 0 && code <> Failure.timed_out then Failure.raise_of code;
  code = 0

let close ?(mode = `Drain) ?within t =
  let who = "Weir_remote.close" in
  let within =
    match within with None -> -1 | Some 0. -> 0 | Some s -> Settings.ns who "within" s
  in
  if on_own_thread t then invalid_arg (who ^ ": on the farm's own thread, in a callback");
  (not (begin_close t mode)) || close_begun t mode within

let declare ?credentials_file ?ca_file url names =
  let who = "Weir_remote.declare" in
  let options = Settings.plain ?credentials_file ?ca_file who url in
  let names = List.map (Settings.text who "a name") names in
  let code = Raw.declare options (Array.of_list names) in
  if code <> 0 then Failure.raise_of code

(* ---- jobs ---- *)

type ('arg, 'result) job = { name : string; arg : 'arg Codec.t; result : 'result Codec.t }

let is_of_name = function
  | 'A' .. 'Z' | 'a' .. 'z' | '0' .. '9' | '.' | '_' | '-' -> true
  | _ -> false

let is_name name =
  let n = String.length name in
  let all = Seq.fold_left (fun good c -> good && is_of_name c) true in
  n > 0 && n <= 200 && all (String.to_seq name)

let job name ~arg ~result =
  if not (is_name name) then
    invalid_arg
      (Printf.sprintf "Weir_remote.job: a name is 1 to 200 of [A-Za-z0-9._-], not %S" name);
  { name; arg; result }

let name job = job.name

type 'a call = { of_ : t; expected : expected; id : string; future : 'a Future.t }

let future call = call.future
let await call = Future.await call.future
let on_settle call f = Future.on_settle call.future f
let id call = call.id

let encoded job codec place x =
  try Codec.encode codec x
  with Codec.Error text -> raise (Codec.Error (Printf.sprintf "job %s: %s: %s" job place text))

let decoded job codec (item : Raw.item) : _ Future.outcome =
  match Codec.decode codec ~content_type:item.bytes_type item.bytes with
  | x -> Value x
  | exception Codec.Error text ->
      let text = Printf.sprintf "job %s: result: %s" job text in
      Raised (Codec.Error text, Printexc.get_callstack 0)
  | exception exn -> Raised (exn, Printexc.get_raw_backtrace ())

let outcome job (item : Raw.item) =
  if item.outcome = 0 then decoded job.name job.result item else Failure.outcome_of job.name item

let levels : Weir.priority -> int = function Normal -> 0 | High -> 1 | Low -> 2

let how t job priority start_within timeout orphan : Raw.how =
  let ns = Settings.ns_option "Weir_remote.run" in
  {
    content_type = Codec.content_type job.arg;
    priority = levels priority;
    start_within = ns "start_within" start_within;
    timeout = ns "timeout" timeout;
    only_if_wanted = orphan = `Drop;
    may_block = t.blocks;
  }

let enter_call t expected =
  locked t (fun () ->
      t.numbers <- t.numbers + 1;
      Hashtbl.replace t.calls t.numbers expected;
      t.numbers)

(* The id is read while the lock keeps the job from being dropped; its answer may have come. *)
let accepted t number expected raw =
  let keep () =
    let id = Raw.job_id raw in
    if Hashtbl.mem t.calls number then expected.job <- raw else Raw.unref raw;
    id
  in
  locked t keep

(* What is too large stays so, and is no matter of waiting as a full farm is. *)
let refuse t bytes code =
  if code = Failure.full && String.length bytes > t.most_bytes then raise (Codec.Error (Raw.error ()));
  Failure.raise_of code

let submit t job expected bytes how =
  let number = enter_call t expected in
  match using t (fun () -> Raw.run t.desk t.farm number job.name bytes how) with
  | 0, raw -> accepted t number expected raw
  | code, _ ->
      locked t (fun () -> Hashtbl.remove t.calls number);
      refuse t bytes code
  | exception exn ->
      locked t (fun () -> Hashtbl.remove t.calls number);
      raise exn

let run ?(priority = Weir.Normal) ?start_within ?timeout ?(orphan = `Run) t job x =
  let how = how t job priority start_within timeout orphan in
  let bytes = encoded job.name job.arg "argument" x in
  let future, settle = Future.outside () in
  let expected = { job = Raw.no_job; take = (fun item -> settle (outcome job item)) } in
  { of_ = t; expected; id = submit t job expected bytes how; future }

let cancel call =
  let take_back () =
    call.expected.job != Raw.no_job && Raw.cancel call.expected.job = 0
  in
  if locked call.of_ take_back then `Canceled else `Settled

(* ---- serving ---- *)

type request = { id : string; attempt : int }

(* What there is to say about a request; the farm's thread and the pool's both have it. *)
type answer =
  | Reply of string * string (* content type, bytes *)
  | Refuse of string * string (* name, text *)
  | Again
  | Unbegun (* the core knows why *)

type 'state handler = {
  job_name : string;
  limit : float option;
  answer : Raw.request_info -> 'state -> answer;
}

let exn_name exn = Printexc.exn_slot_name exn

let run_handler job f (info : Raw.request_info) state =
  match Codec.decode job.arg ~content_type:info.argument_type info.argument with
  | exception Codec.Error text -> Refuse ("Codec", "argument: " ^ text)
  | x -> (
      match f { id = info.id; attempt = info.attempt } state x with
      | exception Retry -> Again
      | y -> Reply (Codec.content_type job.result, encoded job.name job.result "result" y))

let handler_with ?run_within job f =
  ignore (Settings.ns_option "Weir_remote.handler" "run_within" run_within);
  { job_name = job.name; limit = run_within; answer = run_handler job f }

let handler ?run_within job f = handler_with ?run_within job (fun _ -> f)

let send request answer =
  match answer with
  | Reply (content_type, bytes) ->
      if Raw.reply request content_type bytes = Failure.full then
        ignore (Raw.fail request "TooLarge" (Raw.error ()))
  | Refuse (name, text) -> ignore (Raw.fail request name text)
  | Again -> ignore (Raw.retry request)
  | Unbegun -> ()

let answer_of : answer Future.outcome -> answer = function
  | Value answer -> answer
  | Raised (Codec.Error text, _) -> Refuse ("Codec", text)
  | Raised (exn, trace) -> Refuse (exn_name exn, Failure.text_with exn trace)
  | Canceled -> Refuse ("Weir.Canceled", "cancelled")
  | Expired -> Refuse ("Weir.Expired", "not started by its deadline")
  | Closed | Full -> Again

(* A close by cancel has stopped it, and not its client: it is wanted still. *)
let is_stopped_here t : answer Future.outcome -> bool = function
  | Canceled -> t.has_server && t.winds_down = Some `Cancel
  | _ -> false

let finish t request (outcome : answer Future.outcome) =
  let answer = if is_stopped_here t outcome then Again else answer_of outcome in
  protect (send request) answer;
  Raw.release request

let priorities = [| Weir.Normal; Weir.High; Weir.Low |]

let start_on t pool handler (info : Raw.request_info) (item : Raw.item) =
  let priority = priorities.(info.level) in
  let answer state =
    if Raw.begin_request item.number = 0 then handler.answer info state else Unbegun
  in
  let task = Weir.Pool.run ~priority ~label:info.name pool answer in
  Future.on_settle task (finish t item.request);
  Task task

let serve t pool handlers =
  let names = Array.of_list (List.map (fun h -> h.job_name) handlers) in
  let limits = List.map (fun h -> Settings.ns_option "" "" h.limit) handlers in
  let at_once = (Weir.Pool.options pool).threads_max + 1 in
  let starts = List.map (fun h -> (h.job_name, start_on t pool h)) handlers in
  let code =
    using t (fun () ->
        locked t (fun () -> if t.starts = [] then t.starts <- starts);
        Raw.serve t.desk t.farm names (Array.of_list limits) at_once)
  in
  if code <> 0 then begin
    locked t (fun () -> if t.starts == starts then t.starts <- []);
    Failure.raise_of code
  end
