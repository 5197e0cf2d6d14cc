(* SPDX-License-Identifier: ISC
   Pools: opening, running, closing. *)

type priority = High | Normal | Low
type mode = [ `Reject | `Drain ]

type 's t = {
  crew : Promise.crew;
  workers : 's Worker.crew;
  start : (unit -> unit) -> unit;
  blocks : bool;
  threads : int;
  next : int Atomic.t; (* number of the next thread *)
}

let most_threads = 1024
let name t = t.workers.name
let threads t = t.threads
let stats t = Raw.stats t.crew.handle

(* Threads come *)

(* One that could not be made counts as refused; Thread.create's exception is the
   open's. *)
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

let lend pool wanted =
  match Weak.get pool 0 with
  | None -> ()
  | Some t ->
      for _ = 1 to wanted do
        ignore (spawn t Worker.replace)
      done

(* The core keeps the lender as long as the pool; it must not keep the pool. *)
let lender t =
  if not Lanes.may_lose then -1
  else begin
    let pool = Weak.create 1 in
    Weak.set pool 0 (Some t);
    Promise.slot_for (Promise.Lend (lend pool))
  end

(* Opening *)

let check who what ok = if not ok then invalid_arg (Printf.sprintf "%s: %s" who what)

let check_cap who max_running =
  List.iter
    (fun level ->
      match max_running level with
      | Some n -> check who "max_running is below 1" (n >= 1)
      | None -> ())
    [ High; Normal; Low ]

let options ~name ~threads ~queue_limit ~blocks ~max_running =
  let cap level = Option.value (max_running level) ~default:0 in
  {
    Raw.name;
    threads;
    queue_limit = Option.value queue_limit ~default:0;
    block = blocks;
    max_high = cap High;
    max_normal = cap Normal;
    max_low = cap Low;
  }

let make ~name ~kind ~blocks ~ticks ~threads ~init ~at_exit =
  let handle = Raw.pool_handle () in
  let workers = { Worker.handle; name; init; at_exit; ticks; failure = Atomic.make None } in
  let start = match kind with `Threads -> Lanes.start_thread | `Domains -> Lanes.start_domain in
  let crew = { Promise.handle; awaiting = Atomic.make 0; keep = Obj.repr 0 } in
  let t = { crew; workers; start; blocks; threads; next = Atomic.make 0 } in
  crew.keep <- Obj.repr t;
  t

let opened who t code =
  if code = 0 then Ok t
  else
    match Atomic.get t.workers.failure with
    | Some (exn, trace) -> Error (exn, trace)
    | None -> Error (Error.of_code who code, Printexc.get_callstack 0)

let open_handle who t options main k =
  let ready = Promise.slot_for (Promise.Notice (fun code -> k (opened who t code))) in
  let lend = lender t in
  let code = Raw.pool_open t.crew.handle options main ~ready ~lend in
  if code <> 0 then begin
    Promise.drop (Raw.index ready);
    if lend >= 0 then Slots.clear Promise.cells (Raw.index lend);
    raise (Error.of_code who code)
  end

let open_main = function
  | Some main -> Main.raw "Weir.Pool.create" main
  | None when Lanes.may_lose -> Main.raw "Weir.Pool.create" (Keeper.main ())
  | None -> Raw.no_main

let tick who = function
  | None -> ()
  | Some ms ->
      check who "tick_ms is below 1" (ms >= 1);
      if not (Raw.tick_start ms) then raise (Sys_error (who ^ ": no thread for tick_ms"))

let no_caps _ = None

let create_async ?(who = "Weir.Pool.create") ?(name = "weir") ?queue_limit ?(when_full = `Reject)
    ?(max_running = no_caps) ?tick_ms ?(kind = `Threads) ?main ~threads ~init ~at_exit k =
  check who "threads is below 1" (threads >= 1);
  check who (Printf.sprintf "threads is above %d" most_threads) (threads <= most_threads);
  check who "queue_limit is below 1" (match queue_limit with Some n -> n >= 1 | None -> true);
  check who "~kind:`Domains needs OCaml 5" (kind = `Threads || Lanes.domains);
  check_cap who max_running;
  tick who tick_ms;
  Guard.install ();
  let blocks = when_full = `Block and ticks = tick_ms <> None && kind = `Threads in
  let t = make ~name ~kind ~blocks ~ticks ~threads ~init ~at_exit in
  open_handle who t (options ~name ~threads ~queue_limit ~blocks ~max_running) (open_main main) k;
  spawn_all t threads;
  Promise.drain ();
  Option.iter Main.submitted main

(* The keeper, or a worker, hears that the pool is ready. *)
let create ?name ?queue_limit ?when_full ?max_running ?tick_ms ?kind ~threads ~init ~at_exit () =
  let result = Promise.make Promise.no_work in
  let ready r = Promise.wake (Promise.settle result (Promise.Value r)) in
  create_async ?name ?queue_limit ?when_full ?max_running ?tick_ms ?kind ~threads ~init ~at_exit
    ready;
  match Future.await (Future.of_promise result) with
  | Ok t -> t
  | Error (exn, trace) -> Printexc.raise_with_backtrace exn trace

(* Running *)

let level = function None | Some Normal -> 0 | Some High -> 1 | Some Low -> 2

let deadline who = function
  | None -> 0
  | Some seconds ->
      check who "start_within is not a time" (seconds > 0.);
      Main.ns_of (Some seconds)

(* A deadline that passes must be told although no worker is free. *)
let deliver_to main within =
  match main with None when within > 0 -> Some (Keeper.main ()) | _ -> main

let promise main crew id work =
  match main with
  | None -> Promise.make ~crew ~id work
  | Some main -> Promise.make ~crew ~id ~has_main:true ~uncaught:(Main.uncaught main) work

let run ?main ?priority ?start_within t work =
  let who = "Weir.Pool.run" in
  let within = deadline who start_within in
  let told = deliver_to main within in
  let raw = match told with None -> Raw.no_main | Some main -> Main.raw who main in
  let id = Promise.make_slot () in
  let future = promise told t.crew id (Obj.repr work) in
  Promise.fill id (Promise.Task future);
  let submit = if t.blocks then Raw.run_blocking else Raw.run in
  let code = submit t.crew.handle id raw (level priority) within in
  if code <> 0 then begin
    Promise.drop (Raw.index id);
    raise (Error.of_code who code)
  end;
  Option.iter Main.submitted main;
  Future.of_promise future

let cancel_requested = Raw.cancel_requested

(* Closing *)

let drains = function None | Some `Reject -> false | Some `Drain -> true

let close_async ?(who = "Weir.Pool.close_async") ?mode ?main t k =
  let told = match main with None -> Keeper.main () | Some main -> main in
  let raw = Main.raw who told in
  let id = Promise.slot_for (Promise.Notice (fun _ -> k ())) in
  let code = Raw.close_async t.crew.handle ~drain:(drains mode) raw id in
  if code <> 0 then begin
    Promise.drop (Raw.index id);
    raise (Error.of_code who code)
  end;
  Promise.drain ();
  Promise.find_closed ();
  Option.iter Main.submitted main

(* Who awaits a queued task hears of the close before the running ones have ended. *)
let begin_close mode t =
  if not (drains mode || Raw.serves t.crew.handle) then begin
    ignore (Raw.close_async t.crew.handle ~drain:false Raw.no_main (-1));
    Promise.find_closed ()
  end

let close_ns who mode t ns =
  begin_close mode t;
  let code = Raw.close_within t.crew.handle ~drain:(drains mode) ns in
  Promise.drain ();
  Promise.find_closed ();
  if code = Raw.deadlock then
    invalid_arg (who ^ ": on a thread of the pool, which would wait for itself; use close_async");
  code

let close ?mode t = ignore (close_ns "Weir.Pool.close" mode t (-1))

let close_within ?mode t seconds =
  let ns = Main.ns_of (Some seconds) in
  close_ns "Weir.Pool.close_within" mode t ns <> Raw.timed_out

let checked who code = if code <> 0 then raise (Error.of_code who code)
let pause t = checked "Weir.Pool.pause" (Raw.pause t.crew.handle)

let resume t =
  checked "Weir.Pool.resume" (Raw.resume t.crew.handle);
  Promise.drain ()
