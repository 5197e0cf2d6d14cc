(* SPDX-License-Identifier: ISC
   Pools: opening, running, closing. *)

type priority = Options.priority = High | Normal | Low
type mode = [ `Reject | `Drain ]
type 's when_full = [ `Reject | `Block | `Run_here of unit -> 's | `Drop_oldest ]

type 's t = {
  link : Promise.pool_link;
  state : Promise.state -> 's;
  workers : Worker.program;
  start : (unit -> unit) -> unit;
  created : Options.t;
  next : int Atomic.t; (* the number of the next thread *)
}

let name t = t.created.name

let stats t =
  let timed_out = Atomic.get t.link.timed_out in
  { (Raw.stats t.link.handle) with timed_out }

let running t =
  let running (r : Raw.running) =
    {
      Control.label = r.label;
      thread = (if r.thread < 0 then None else Some r.thread);
      seconds = float r.since_ns /. 1e9;
      cancel_requested = r.cancel_requested;
      blocking = r.blocking;
    }
  in
  List.map running (Raw.running t.link.handle)

let times_out t = Atomic.incr t.link.timed_out
let unhandled ?label t = Error.unhandled ?label (name t) `Task
let options t = Options.of_raw t.created (Raw.pool_options t.link.handle)
let threads t = (options t).threads

(* New threads *)

(* A thread that could not be made counts as refused. While the pool opens, the open fails
   with the exception of Thread.create. *)
let spawn t live =
  match Worker.spawn t.workers t.start live (Atomic.fetch_and_add t.next 1) with
  | () -> true
  | exception exn ->
      Worker.failed t.workers exn (Printexc.get_raw_backtrace ());
      Worker.refuse t.workers Raw.again;
      false

let rec spawn_all t n =
  if n > 0 then
    if spawn t Worker.begin_service then spawn_all t (n - 1)
    else
      for _ = 2 to n do
        Worker.refuse t.workers Raw.again
      done

let lend t wanted =
  for _ = 1 to wanted do
    ignore (spawn t Worker.come_lent)
  done

(* The core keeps the lender as long as the pool, so the lender must not keep the pool. *)
let lender link =
  let pool = Weak.create 1 in
  Weak.set pool 0 (Some link);
  let lend wanted =
    match Weak.get pool 0 with Some link -> link.Promise.lend wanted | None -> ()
  in
  Promise.slot_for (Promise.Lend lend)

(* Open *)

let policy = function
  | (`Reject | `Block | `Drop_oldest) as policy -> policy
  | `Run_here _ -> `Run_here

(* To a state that any pool's thread can carry, and back. *)
let states (type s) () =
  let module M = struct
    type Promise.state += State of s
  end in
  let back = function M.State s -> s | _ -> assert false in
  ((fun s -> M.State s), back)

let make (created : Options.t) when_full ~init ~at_exit =
  let seal, state = states () in
  let here () =
    match when_full with `Run_here make -> seal (make ()) | _ -> assert false
  in
  let link = Promise.pool_link (Raw.pool_handle ()) here in
  let lets_in =
    match (created.kind, created.tick_ms) with
    | `Domains, _ -> `Nobody
    | `Threads, None -> `Loops
    | `Threads, Some _ -> `All
  in
  let init () = seal (init ()) and at_exit s = at_exit (state s) in
  let workers = { Worker.link; name = created.name; init; at_exit; lets_in } in
  let start =
    match created.kind with `Threads -> Lanes.start_thread | `Domains -> Lanes.start_domain
  in
  let t = { link; state; workers; start; created; next = Atomic.make 0 } in
  link.lend <- lend t;
  t

let opened who t code =
  if code = 0 then Ok t
  else
    match Atomic.get t.link.failure with
    | Some (exn, trace) -> Error (exn, trace)
    | None -> Error (Error.of_code who code, Printexc.get_callstack 0)

let open_handle who t options main k =
  let raw = Main.raw "Weir.Pool.create" main in
  let tell code = Error.protect (Main.uncaught main) k (opened who t code) in
  let ready = Promise.slot_for (Promise.Notice tell) in
  let lend = lender t.link in
  let code = Raw.pool_open t.link.handle options raw ~ready ~lend in
  if code <> 0 then begin
    Promise.drop (Raw.index ready);
    Slots.clear Promise.cells (Raw.index lend);
    raise (Error.of_code who code)
  end

(* The main where the pool asks for threads. *)
let open_main = function Some main -> main | None -> Keeper.main ()

let tick who (created : Options.t) =
  if created.kind = `Threads && not (Raw.tick_start (Option.value created.tick_ms ~default:0)) then
    raise (Sys_error (who ^ ": no thread for tick_ms"))

let no_caps _ = None

let open_as who created when_full main ~init ~at_exit k =
  let options = Options.to_raw who created in
  tick who created;
  Guard.install ();
  let t = make created when_full ~init ~at_exit in
  open_handle who t options (open_main main) k;
  spawn_all t created.threads;
  Option.iter Main.submitted main;
  t

let start ?(who = "Weir.Pool.create") ?(name = "weir") ?threads_max ?(idle = 10.)
    ?(max_blocked = 0) ?queue_limit ?(when_full = `Reject) ?(max_running = no_caps)
    ?(measure = `Nothing) ?tick_ms ?(kind = `Threads) ?main ~threads ~init ~at_exit k =
  let threads_max = Option.value threads_max ~default:threads in
  let created =
    {
      Options.name;
      threads;
      threads_max;
      idle;
      max_blocked;
      queue_limit;
      when_full = policy when_full;
      max_running;
      measure;
      tick_ms;
      kind;
    }
  in
  open_as who created when_full main ~init ~at_exit k

let create_async ?who ?name ?threads_max ?idle ?max_blocked ?queue_limit ?when_full ?max_running
    ?measure ?tick_ms ?kind ?main ~threads ~init ~at_exit k =
  ignore
    (start ?who ?name ?threads_max ?idle ?max_blocked ?queue_limit ?when_full ?max_running ?measure
       ?tick_ms ?kind ?main ~threads ~init ~at_exit k)

(* The keeper's thread hears that the pool is ready, and wakes this one. A lazy pool is ready
   at once. *)
let create ?name ?threads_max ?idle ?max_blocked ?queue_limit ?when_full ?max_running ?measure
    ?tick_ms ?kind ~threads ~init ~at_exit () =
  let result =
    Promise.make ~link:None ~id:(-1) ~main:Raw.no_main ~uncaught:Error.report Promise.no_work
  in
  let ready r = Promise.wake (Promise.settle result (Promise.Value r)) in
  let t =
    start ?name ?threads_max ?idle ?max_blocked ?queue_limit ?when_full ?max_running ?measure
      ?tick_ms ?kind ~threads ~init ~at_exit ready
  in
  match if threads = 0 then Ok t else Future.await (Future.of_promise result) with
  | Ok t -> t
  | Error (exn, trace) -> Printexc.raise_with_backtrace exn trace

(* Run *)

let deadline who seconds =
  Options.check_time ~who "start_within" (fun s -> s > 0.) seconds;
  max 0 (Main.ns_of (Some seconds)) (* 0, so no deadline, where it lies beyond the clock's end *)

(* A task may settle while no thread of the pool is free to call its callbacks. *)
let deliver_to t main within =
  match (main, t.created.when_full) with
  | None, (`Run_here | `Drop_oldest) -> Some (Keeper.main ())
  | None, _ when within > 0 -> Some (Keeper.main ())
  | _ -> main

let uncaught = function None -> Error.report | Some main -> Main.uncaught main

let run ?main ?(priority = Normal) ?start_within ?label t work =
  let who = "Weir.Pool.run" in
  let within = match start_within with None -> 0 | Some seconds -> deadline who seconds in
  let told = deliver_to t main within in
  let raw = match told with None -> Raw.no_main | Some main -> Main.raw who main in
  let id = Promise.(made (Raw.task_make t.link.handle)) in
  let work state = work (t.state state) in
  let future =
    Promise.make ~link:(Some t.link) ~id ~main:raw ~uncaught:(uncaught told) work
  in
  future.ends_in_time <- within > 0;
  Promise.fill id (Promise.Task future);
  Option.iter (Raw.task_label id) label;
  let waits = match t.created.when_full with `Block | `Run_here -> true | _ -> false in
  let submit = if waits then Raw.run_blocking else Raw.run in
  let code = submit t.link.handle id raw (Options.level priority) within in
  if waits || told = None then Promise.drain () (* a lazy pool may have been refused a thread *);
  if code <> 0 then begin
    Promise.drop (Raw.index id);
    raise (Error.of_code who code)
  end;
  Option.iter Main.submitted main;
  Main.wants t.link future;
  Future.of_promise future

let cancel_requested = Raw.cancel_requested

let on_cancel = Stops.around
let blocking = Promise.blocking

let spawning f =
  Raw.spawning_begin ();
  Fun.protect ~finally:Raw.spawning_end f

(* Close *)

let drains = function None | Some `Reject -> false | Some `Drain -> true

let close_async ?(who = "Weir.Pool.close_async") ?mode ?main t k =
  let told = match main with None -> Keeper.main () | Some main -> main in
  let raw = Main.raw who told in
  let tell _ = Error.protect (Main.uncaught told) k () in
  let id = Promise.slot_for (Promise.Notice tell) in
  let code = Raw.close_async t.link.handle ~drain:(drains mode) raw id in
  if code <> 0 then begin
    Promise.drop (Raw.index id);
    raise (Error.of_code who code)
  end;
  Promise.find_closed t.link;
  Option.iter Main.submitted main

(* Settles the queued tasks now, so that nobody who awaits one waits for the running tasks. *)
let begin_close mode t =
  if not (drains mode || Raw.serves t.link.handle) then begin
    ignore (Raw.close_async t.link.handle ~drain:false Raw.no_main (-1));
    Promise.find_closed t.link
  end

let close_ns who mode t ns =
  begin_close mode t;
  let code = Raw.close_within t.link.handle ~drain:(drains mode) ns in
  Promise.find_closed t.link;
  if code = Raw.deadlock then
    invalid_arg (who ^ ": on a thread of the pool, which would wait for itself; use close_async");
  code

let close ?mode t = ignore (close_ns "Weir.Pool.close" mode t (-1))

let close_within ?mode t seconds =
  let who = "Weir.Pool.close_within" in
  Options.check_time ~who "the limit" (fun s -> s >= 0.) seconds;
  close_ns who mode t (Main.ns_of (Some seconds)) <> Raw.timed_out

(* Control and statistics *)

let checked who code =
  Promise.drain ();
  if code <> 0 then raise (Error.of_code who code)

let pause t = checked "Weir.Pool.pause" (Raw.pause t.link.handle)
let resume t = checked "Weir.Pool.resume" (Raw.resume t.link.handle)

let resize ?threads_max t threads =
  let who = "Weir.Pool.resize" in
  let most = Option.value threads_max ~default:threads in
  Options.check_bounds who threads most;
  checked who (Raw.resize t.link.handle threads most)

let purge t =
  let take_back n id = if Promise.cancel id ~running:false = 0 then n + 1 else n in
  Array.fold_left take_back 0 (Promise.tasks t.link Raw.Queued)

let histogram t which =
  let which = match which with `Queue_time -> Raw.Queue_time | `Run_time -> Raw.Run_time in
  match Raw.histogram t.link.handle which with
  | [||] -> invalid_arg "Weir.Pool.histogram: the pool was created without ~measure:`Times"
  | counts -> Histogram.of_times counts
