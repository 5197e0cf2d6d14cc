(* SPDX-License-Identifier: ISC
   Any sequence of calls on a pool of one thread, beside a model of the contract.

   The pool is paused except while it serves, and a task may hold its thread. So the model knows
   what each call returns, which tasks are queued, in which order they start, how each ends and
   what is counted. QCheck makes the sequences, and shrinks one that fails.

   WEIR_SECONDS lets it go on with further seeds, WEIR_SEED begins with another one; each seed
   is printed. *)

open Support
module Pool = Weir.Pool
module Future = Weir.Future
module Main = Weir.Main

exception Own of int

type kind = Returns | Raises | Calls

type call =
  | Run of kind * Pool.priority * bool  (** whether it is told in a main *)
  | Run_late
  | Hold
  | Let_go
  | Serve
  | Cancel of int
  | Poll of int
  | Purge
  | Resize of int
  | Close of Pool.mode
  | Close_within of Pool.mode
  | Close_async of Pool.mode

type policy = Reject | Drop_oldest | Run_here | Block
type shape = { limit : int; policy : policy; is_lazy : bool }

(* ---- the model ---------------------------------------------------------------- *)

type ending = Value of int | Raised of int | Canceled | Closed | Expired | Full | Odd

type task = {
  number : int;
  kind : kind;
  priority : Pool.priority;
  future : int Future.t;
  mutable expected : ending option;  (** [None]: queued, or it holds the thread *)
  mutable told : ending list;
}

type holder = { task : task; hold : Hold.t; mutable is_asked : bool }

(** Its submit waits for space, on a thread of its own. *)
type waiter = { thread : Thread.t; result : (int Future.t, exn) result option ref }

type model = {
  pool : unit Pool.t;
  main : Main.t;
  shape : shape;
  mutable tasks : task list;  (** the newest first, as below *)
  mutable queue : task list;  (** the oldest first *)
  mutable holder : holder option;
  mutable waiter : waiter option;
  mutable starts : int list;
  seen : int list ref;
  mutable refused : int;
  mutable is_closed : bool;
  mutable closes : int;
  mutable closes_told : int;
}

let fail fmt = Printf.ksprintf failwith fmt

let show = function
  | Value n -> Printf.sprintf "value %d" n
  | Raised n -> Printf.sprintf "raised %d" n
  | Canceled -> "canceled"
  | Closed -> "closed"
  | Expired -> "expired"
  | Full -> "full"
  | Odd -> "another exception"

let ending_of : int Future.outcome -> ending = function
  | Value n -> Value n
  | Raised (Own n, _) -> Raised n
  | Raised _ -> Odd
  | Canceled -> Canceled
  | Closed -> Closed
  | Expired -> Expired
  | Full -> Full

let expect what expected got =
  if got <> expected then fail "%s: %s, the model says %s" what (show got) (show expected)

let is_full m = m.shape.limit > 0 && List.length m.queue >= m.shape.limit
let rank = function Pool.High -> 0 | Normal -> 1 | Low -> 2
let end_as ending task = task.expected <- Some ending
let natural task = match task.kind with Raises -> Raised task.number | _ -> Value task.number

let end_queue m ending =
  List.iter (end_as ending) m.queue;
  m.queue <- []

(* What the thread does with the queue when it is let, and how that ended. *)
let served m =
  let by_rank a b = compare (rank a.priority) (rank b.priority) in
  let start task =
    m.starts <- task.number :: m.starts;
    end_as (natural task) task;
    expect "await" (natural task) (ending_of (Future.outcome task.future))
  in
  List.iter start (List.stable_sort by_rank m.queue);
  m.queue <- []

(* ---- tasks --------------------------------------------------------------------- *)

let body m number kind () =
  m.seen := number :: !(m.seen);
  match kind with
  | Returns -> number
  | Raises -> raise (Own number)
  | Calls -> Main.run_in ~main:m.main (fun () -> number)

let know m number kind priority future =
  let task = { number; kind; priority; future; expected = None; told = [] } in
  Future.on_settle future (fun o -> task.told <- ending_of o :: task.told);
  m.tasks <- task :: m.tasks;
  task

let accept m number kind priority future =
  m.queue <- m.queue @ [ know m number kind priority future ]

let number_of m = List.length m.tasks + m.refused

(* The submit that waits gets the space that there is now; nothing else is queued meanwhile. *)
let let_wait_end m =
  let use w =
    Thread.join w.thread;
    m.waiter <- None;
    match !(w.result) with
    | Some (Ok future) when not m.is_closed -> accept m (number_of m) Returns Low future
    | Some (Error Weir.Closed) when m.is_closed -> m.refused <- m.refused + 1
    | _ -> fail "the submit that waited for space ended otherwise"
  in
  if m.is_closed || not (is_full m) then Option.iter use m.waiter

(* Low, so that it is the last one whenever it gets its place. *)
let wait_for_space m told_in_main =
  let number = number_of m and result = ref None in
  let main = if told_in_main then Some m.main else None in
  let submit () =
    match Pool.run ?main ~priority:Low m.pool (body m number Returns) with
    | future -> result := Some (Ok future)
    | exception e -> result := Some (Error e)
  in
  m.waiter <- Some { thread = Thread.create submit (); result }

let lowest_not_above priority queue =
  let may_go task = rank task.priority >= rank priority in
  let lowest = List.fold_left (fun r task -> max r (rank task.priority)) (-1) queue in
  List.find_opt (fun task -> may_go task && rank task.priority = lowest) queue

let drop_one m priority =
  match lowest_not_above priority m.queue with
  | None -> false
  | Some task ->
      end_as Full task;
      m.queue <- List.filter (( != ) task) m.queue;
      true

let run_full m submit number kind priority told_in_main =
  match m.shape.policy with
  | Block -> if m.waiter = None then wait_for_space m told_in_main
  | Drop_oldest when drop_one m priority -> accept m number kind priority (submit ())
  | Drop_oldest | Reject -> (
      match submit () with
      | _ -> fail "run: accepted although the queue is full"
      | exception Weir.Full -> m.refused <- m.refused + 1)
  | Run_here ->
      m.starts <- number :: m.starts;
      let task = know m number kind priority (submit ()) in
      end_as (natural task) task

let run m kind priority told_in_main =
  let is_here = is_full m && m.shape.policy = Run_here in
  let kind = if is_here && kind = Calls then Returns else kind in
  let number = number_of m and main = if told_in_main then Some m.main else None in
  let submit () = Pool.run ?main ~priority m.pool (body m number kind) in
  if m.is_closed then
    match submit () with
    | _ -> fail "run: accepted after a close"
    | exception Weir.Closed -> m.refused <- m.refused + 1
  else if is_full m then run_full m submit number kind priority told_in_main
  else accept m number kind priority (submit ())

let run_late m =
  if not (m.is_closed || is_full m) then begin
    let number = number_of m in
    let future = Pool.run ~start_within:0.0002 m.pool (body m number Returns) in
    let task = know m number Returns Normal future in
    end_as Expired task;
    expect "a late task" Expired (ending_of (Future.outcome future))
  end

let hold m =
  if (not m.is_closed) && m.queue = [] && m.holder = None then begin
    let hold = Hold.make () and number = number_of m in
    let stay () =
      m.seen := number :: !(m.seen);
      Hold.task hold ();
      if Pool.cancel_requested () then raise Weir.Canceled;
      number
    in
    let task = know m number Returns Normal (Pool.run m.pool stay) in
    m.holder <- Some { task; hold; is_asked = false };
    m.starts <- number :: m.starts;
    Pool.resume m.pool;
    Hold.until_it_runs hold;
    Pool.pause m.pool
  end

let let_go m =
  let leave h =
    Hold.let_go h.hold;
    m.holder <- None;
    end_as (if h.is_asked then Canceled else natural h.task) h.task;
    expect "the holder" (Option.get h.task.expected) (ending_of (Future.outcome h.task.future))
  in
  Option.iter leave m.holder

(* ---- the other calls -------------------------------------------------------------- *)

let serve m =
  if m.holder = None && not m.is_closed then begin
    Pool.resume m.pool;
    served m;
    let_wait_end m;
    served m;
    Pool.pause m.pool
  end

let nth m i =
  match m.tasks with [] -> None | tasks -> Some (List.nth tasks (i mod List.length tasks))

let cancel m task =
  let is_held h = h.task == task in
  let got = Future.cancel task.future in
  match m.holder with
  | Some h when is_held h ->
      h.is_asked <- true;
      if got <> `Running then fail "cancel of a running task"
  | _ when List.memq task m.queue ->
      m.queue <- List.filter (( != ) task) m.queue;
      end_as Canceled task;
      if got <> `Taken_back then fail "cancel of a queued task";
      let_wait_end m
  | _ -> if got <> `Settled then fail "cancel of a settled task"

let poll task =
  match (Future.poll task.future, task.expected) with
  | None, None -> ()
  | Some o, Some ending -> expect "poll" ending (ending_of o)
  | Some o, None -> fail "poll: %s, the model says nothing" (show (ending_of o))
  | None, Some ending -> fail "poll: nothing, the model says %s" (show ending)

let purge m =
  let n = Pool.purge m.pool in
  if n <> List.length m.queue then fail "purge: %d, the model says %d" n (List.length m.queue);
  end_queue m Canceled;
  let_wait_end m

let resize m n =
  match Pool.resize ~threads_max:1 m.pool n with
  | () -> if m.is_closed then fail "resize after a close"
  | exception Weir.Closed -> if not m.is_closed then fail "resize: closed"

(* A close has begun; a drain runs what is queued when the holder has left. *)
let after_close m (mode : Pool.mode) =
  m.is_closed <- true;
  if mode = `Reject then end_queue m Closed;
  let_go m;
  served m;
  let_wait_end m

let close m mode =
  let_go m;
  m.is_closed <- true;
  Pool.close ~mode m.pool;
  after_close m mode

let close_within m (mode : Pool.mode) =
  let is_held = m.holder <> None in
  let ended = Pool.close_within ~mode m.pool (if is_held then 0.001 else 20.) in
  if ended = is_held then fail "close_within: %b" ended;
  after_close m (if is_held then `Reject else mode);
  close m mode

let close_async m mode =
  m.closes <- m.closes + 1;
  let told () = m.closes_told <- m.closes_told + 1 in
  Pool.close_async ~mode ~main:m.main m.pool told;
  after_close m mode;
  while m.closes_told < m.closes do
    ignore (Main.wait m.main)
  done

let perform m = function
  | Run (kind, priority, told_in_main) -> run m kind priority told_in_main
  | Run_late -> run_late m
  | Hold -> hold m
  | Let_go -> let_go m
  | Serve -> serve m
  | Cancel i -> Option.iter (cancel m) (nth m i)
  | Poll i -> Option.iter poll (nth m i)
  | Purge -> purge m
  | Resize n -> resize m n
  | Close mode -> close m mode
  | Close_within mode -> close_within m mode
  | Close_async mode -> close_async m mode

(* ---- what must hold after each call, and in the end -------------------------------- *)

let counts m =
  let with_ending is = List.length (List.filter (fun t -> is t.expected) m.tasks) in
  let exactly ending = with_ending (( = ) (Some ending)) in
  [
    ("queued", List.length m.queue);
    ("running", if m.holder = None then 0 else 1);
    ("submitted", List.length m.tasks);
    ("ok", with_ending (function Some (Value _) -> true | _ -> false));
    ("failed", with_ending (function Some (Raised _) -> true | _ -> false));
    ("cancelled", exactly Canceled);
    ("expired", exactly Expired);
    ("closed", exactly Closed);
    ("dropped", exactly Full);
  ]

let check_counts m =
  let got = Weir.Stats.fields (Pool.stats m.pool) in
  let check (name, expected) =
    let n = List.assoc name got in
    if n <> expected then fail "stats: %s %d, the model says %d" name n expected
  in
  if m.waiter = None then List.iter check (counts m)

let check_order m =
  if !(m.seen) <> m.starts then
    let list l = String.concat " " (List.rev_map string_of_int l) in
    fail "started: %s; the model says: %s" (list !(m.seen)) (list m.starts)

(* Without a main the thread that settles it tells, which may be about to. *)
let check_told task =
  poll task;
  until (fun () -> task.told <> []);
  match task.told with
  | [ ending ] -> expect "told" (Option.get task.expected) ending
  | list -> fail "task %d was told %d times" task.number (List.length list)

let finish m =
  close m `Reject;
  while Main.pending m.main > 0 do
    ignore (Main.wait m.main)
  done;
  check_counts m;
  check_order m;
  List.iter check_told m.tasks

let open_pool shape =
  let when_full =
    match shape.policy with
    | Reject -> `Reject
    | Drop_oldest -> `Drop_oldest
    | Run_here -> `Run_here ignore
    | Block -> `Block
  in
  let queue_limit = if shape.limit > 0 then Some shape.limit else None in
  let threads = if shape.is_lazy then 0 else 1 in
  Pool.create ?queue_limit ~when_full ~threads ~threads_max:1 ~idle:0.001 ~init:ignore
    ~at_exit:ignore ()

let sequence (shape, calls) =
  let main = Main.create () and pool = open_pool shape in
  let m =
    { pool; main; shape; tasks = []; queue = []; holder = None; waiter = None; starts = [];
      seen = ref []; refused = 0; is_closed = false; closes = 0; closes_told = 0 }
  in
  let give_back () =
    Option.iter (fun h -> Hold.let_go h.hold) m.holder;
    Pool.close pool;
    Main.close ~detach:true main
  in
  Fun.protect ~finally:give_back @@ fun () ->
  Pool.pause pool;
  List.iter (fun call -> perform m call; check_counts m) calls;
  finish m;
  true

(* ---- sequences ------------------------------------------------------------------------- *)

let kinds = [| Returns; Raises; Calls |]
let priorities = [| Pool.High; Normal; Low |]
let policies = [| Reject; Drop_oldest; Run_here; Block |]

(* Fewer than 32 starts in each, because the 32nd serves the lowest priority. *)
let most_calls = 30

let call_of what n =
  let mode : Pool.mode = if n land 1 = 0 then `Reject else `Drain in
  match what with
  | 0 -> Serve
  | 1 -> Hold
  | 2 -> Let_go
  | 3 | 4 -> Cancel n
  | 5 -> Poll n
  | 6 -> Purge
  | 7 -> Resize (n land 1)
  | 8 -> Run_late
  | 9 when n < 4 -> Close mode
  | 9 when n < 8 -> Close_within mode
  | 9 when n < 12 -> Close_async mode
  | _ -> Run (kinds.(n mod 3), priorities.(n / 3 mod 3), n land 1 = 1)

let sequences =
  let open QCheck2.Gen in
  let shape a b = { limit = a; policy = policies.(b / 2); is_lazy = b land 1 = 1 } in
  let calls = list_size (int_bound most_calls) (map2 call_of (int_bound 19) (int_bound 35)) in
  pair (map2 shape (int_bound 3) (int_bound 7)) calls

let print_mode : Pool.mode -> string = function `Reject -> "`Reject" | `Drain -> "`Drain"

let print_call = function
  | Run (kind, priority, told_in_main) ->
      Printf.sprintf "Run %s %s%s"
        (match kind with Returns -> "Returns" | Raises -> "Raises" | Calls -> "Calls")
        (match priority with Pool.High -> "High" | Normal -> "Normal" | Low -> "Low")
        (if told_in_main then " in main" else "")
  | Run_late -> "Run_late"
  | Hold -> "Hold"
  | Let_go -> "Let_go"
  | Serve -> "Serve"
  | Cancel i -> Printf.sprintf "Cancel %d" i
  | Poll i -> Printf.sprintf "Poll %d" i
  | Purge -> "Purge"
  | Resize n -> Printf.sprintf "Resize %d" n
  | Close mode -> "Close " ^ print_mode mode
  | Close_within mode -> "Close_within " ^ print_mode mode
  | Close_async mode -> "Close_async " ^ print_mode mode

let print (shape, calls) =
  Printf.sprintf "limit %d, %s%s: %s" shape.limit
    (match shape.policy with
    | Reject -> "`Reject"
    | Drop_oldest -> "`Drop_oldest"
    | Run_here -> "`Run_here"
    | Block -> "`Block")
    (if shape.is_lazy then ", lazy" else "")
    (String.concat "; " (List.map print_call calls))

let env name default = try int_of_string (Sys.getenv name) with Not_found -> default

let law input = watched (fun () -> sequence input) ()

let any_sequence () =
  let until = Unix.gettimeofday () +. float (env "WEIR_SECONDS" 0) in
  let test = QCheck2.Test.make ~name:"calls" ~count:400 ~print sequences law in
  let rec from seed =
    Printf.printf "WEIR_SEED=%d\n%!" seed;
    QCheck2.Test.check_exn ~rand:(Random.State.make [| seed |]) test;
    if Unix.gettimeofday () < until then from (seed + 1)
  in
  from (env "WEIR_SEED" 1)

let () =
  let body () = Lazy.force warm_up; clean any_sequence () in
  main "random"
    [ ("random", [ Alcotest.test_case "any sequence of calls does what the model says" `Quick body ]) ]
