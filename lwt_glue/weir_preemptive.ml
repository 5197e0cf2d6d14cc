(* SPDX-License-Identifier: ISC
   The interface of Lwt_preemptive, on one pool for the process.

   The pool is opened by the first detach, or by the first bounds with a minimum. Its threads
   never retire, as Lwt's do not. *)

module type S = sig
  val detach : ('a -> 'b) -> 'a -> 'b Lwt.t
  val run_in_main : (unit -> 'a Lwt.t) -> 'a
  val run_in_main_dont_wait : (unit -> unit Lwt.t) -> (exn -> unit) -> unit
  val init : int -> int -> (string -> unit) -> unit
  val simple_init : unit -> unit
  val get_bounds : unit -> int * int
  val set_bounds : int * int -> unit
  val set_max_number_of_threads_queued : int -> unit
  val get_max_number_of_threads_queued : unit -> int
  val nbthreads : unit -> int
  val nbthreadsbusy : unit -> int
  val nbthreadsqueued : unit -> int
end

module Pool = Weir.Pool

type opened = { pid : int; pool : unit Pool.t }

let current : opened option ref = ref None
let bounds = ref (0, 0)
let initialized = ref false
let most_threads = 1024
let for_ever = 1e9 (* seconds *)

(* A pool has room for one thread at least, so what must not start is paused. *)
let apply pool (min, max) =
  let within low n = Int.max low (Int.min n most_threads) in
  Pool.resize ~threads_max:(within 1 max) pool (within 0 min);
  if max = 0 then Pool.pause pool else Pool.resume pool

(* Lazy, so that opening it does not wait. *)
let open_pool () =
  let pool =
    Pool.create ~name:"preemptive" ~idle:for_ever ~threads:0 ~threads_max:1 ~init:ignore
      ~at_exit:ignore ()
  in
  current := Some { pid = Unix.getpid (); pool };
  apply pool !bounds;
  pool

let is_mine opened = opened.pid = Unix.getpid ()

let pool () =
  match !current with Some opened when is_mine opened -> opened.pool | _ -> open_pool ()

module Lwt_preemptive = struct
  (* Bounds *)

  let queued = ref 1000
  let get_max_number_of_threads_queued () = !queued

  let set_max_number_of_threads_queued n =
    if n < 0 then
      invalid_arg
        (Printf.sprintf "Lwt_preemptive.set_max_number_of_threads_queued: %d is negative" n);
    queued := n

  let get_bounds () = !bounds

  let set_bounds (min, max) =
    if min < 0 || max < min then
      invalid_arg
        (Printf.sprintf "Lwt_preemptive.set_bounds: (%d, %d) are not bounds" min max);
    bounds := (min, max);
    if !current <> None || min > 0 then apply (pool ()) !bounds

  let init min max _ =
    initialized := true;
    set_bounds (min, max)

  let simple_init () = if not !initialized then init 0 4 ignore

  (* A call whose thread is on its way has got it. *)
  let busy (s : Weir.Stats.t) = Int.max s.running (Int.min (s.running + s.queued) (snd !bounds))

  let look count =
    match !current with
    | Some opened when is_mine opened -> count (Pool.stats opened.pool)
    | _ -> 0

  let nbthreadsbusy () = look busy
  let nbthreads () = look (fun s -> Int.max (s.threads + s.wanted) (busy s))
  let nbthreadsqueued () = look (fun s -> s.running + s.queued - busy s)

  (* Detach *)

  let run main f =
    match !current with
    | None -> Pool.run ~main (open_pool ()) f
    | Some opened -> (
        try Pool.run ~main opened.pool f
        with Failure _ when not (is_mine opened) -> Pool.run ~main (open_pool ()) f)

  (* Nobody is refused because calls wait for each other: Lwt does not tell whether they do, and
     the bounds may be raised. *)
  let detach f x =
    simple_init ();
    match run (Weir_loop.main "Lwt_preemptive.detach") (fun () -> f x) with
    | future ->
        Weir.Future.ends_in_time future;
        Weir_loop.promise ~closed:Weir.Closed future
    | exception ((Failure _ | Out_of_memory | Sys_error _) as exn) -> Lwt.fail exn

  (* Into the loop. Before the first detach only Lwt knows which thread runs it, so Lwt's
     notification goes there first. *)

  let mutex = Mutex.create ()
  let came = Condition.create ()
  let early : (unit -> unit) Queue.t = Queue.create ()

  let locked f =
    Mutex.lock mutex;
    Fun.protect ~finally:(fun () -> Mutex.unlock mutex) f

  let rec run_early () =
    match locked (fun () -> Queue.take_opt early) with
    | None -> ()
    | Some job ->
        job ();
        run_early ()

  let arrival =
    Lwt_unix.make_notification (fun () ->
        ignore (Weir_loop.main "Lwt_preemptive");
        locked (fun () -> Condition.broadcast came);
        run_early ())

  let until_known () =
    if not (Weir_loop.is_known ()) then begin
      Lwt_unix.send_notification arrival;
      locked (fun () ->
          while not (Weir_loop.is_known ()) do
            Condition.wait came mutex
          done)
    end

  let run_in_main f =
    until_known ();
    Weir_loop.run_in_main "Lwt_preemptive.run_in_main" f

  let run_in_main_dont_wait f handler =
    let post () =
      Weir_loop.run_in_main_dont_wait "Lwt_preemptive.run_in_main_dont_wait" f handler
    in
    if Weir_loop.is_known () then post ()
    else begin
      locked (fun () -> Queue.add post early);
      Lwt_unix.send_notification arrival
    end
end

include Lwt_preemptive
