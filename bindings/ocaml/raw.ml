(* SPDX-License-Identifier: ISC
   Every external of the binding; the stubs are the ml_*.c files beside it.

   An id names a slot and its generation, an index only the slot, see ml.h. Codes are those
   of weir.h. A stub that is [@@noalloc] neither waits nor releases the runtime. *)

type pool
(* A custom block: the core's handle, released when collected. *)

type main = private int
(* A pointer, or 0 for no main. *)

type call = private int

external no_main : unit -> main = "%identity"

let no_main = no_main ()
let failed = 1 (* what a task returns whose function has raised *)
let invalid = -1
let out_of_memory = -2
let again = -3
let closed = -5
let full = -6
let busy = -7
let canceled = -8
let expired = -9
let timed_out = -10
let deadlock = -11
let init_failed = -12
let wrong_thread = -14
let forked = -15

(* The constructors stand in the order of weir.h's enums; test_names.ml compares them. *)
type task_state = Idle | Queued | Running | Parked | Settled
type level = Normal | High | Low
type times = Queue_time | Run_time

external strerror : int -> string = "weir_ml_strerror"

(* Slots. *)

external slot_make : unit -> int = "weir_ml_slot_make" [@@noalloc]
external task_make : pool -> int = "weir_ml_task_make" [@@noalloc]
external slot_drop : int -> unit = "weir_ml_slot_drop" [@@noalloc]
external slots_live : unit -> int = "weir_ml_slots_live" [@@noalloc]
external tasks : pool -> task_state -> int array -> int = "weir_ml_tasks" [@@noalloc]
external slot_never_ran : int -> int = "weir_ml_slot_never_ran" [@@noalloc]

(* What came, in one crossing: the slot's index; an outcome, a begun call, or how many threads
   are asked for; and 1 if main_pending counts it until it ends. [round] is the core's. *)
type delivery = {
  mutable index : int;
  mutable code : int;
  mutable pends : int;
  round : Bytes.t;
}

let no_index = -1 (* of a delivery that holds none, or whose one has been made *)

external delivery : unit -> delivery = "weir_ml_delivery"
external delivery_end : delivery -> unit = "weir_ml_delivery_end" [@@noalloc]
external take : delivery -> bool = "weir_ml_take" [@@noalloc]
external untaken : unit -> bool = "weir_ml_untaken" [@@noalloc]
external tell_here : int -> unit = "weir_ml_tell_here" [@@noalloc]
external call_of : int -> call = "%identity"

let index id = id land ((1 lsl 26) - 1)

(* Pools. *)

type options = {
  name : string;
  threads : int;
  threads_max : int;
  idle_ns : int;
  max_blocked : int;
  queue_limit : int;
  when_full : int;
  max_normal : int;
  max_high : int;
  max_low : int;
  measure : bool;
}
(* The stubs rely on this order. 0 means no limit. *)

external pool_handle : unit -> pool = "weir_ml_pool_handle"

external pool_open : pool -> options -> main -> ready:int -> lend:int -> int = "weir_ml_pool_open"
[@@noalloc]

external task_label : int -> string -> unit = "weir_ml_task_label" [@@noalloc]
external run : pool -> int -> main -> level -> int -> int = "weir_ml_run" [@@noalloc]
external run_blocking : pool -> int -> main -> level -> int -> int = "weir_ml_run_blocking"
external cancel : int -> running:bool -> int = "weir_ml_cancel" [@@noalloc]
external close_within : pool -> drain:bool -> int -> int = "weir_ml_close_within"

external close_async : pool -> drain:bool -> main -> int -> int = "weir_ml_close_async"
[@@noalloc]

external pause : pool -> int = "weir_ml_pool_pause" [@@noalloc]
external resume : pool -> int = "weir_ml_pool_resume" [@@noalloc]
external resize : pool -> int -> int -> int = "weir_ml_pool_resize" [@@noalloc]
external pool_options : pool -> options = "weir_ml_pool_options"
external stats : pool -> Stats.t = "weir_ml_pool_stats"
type running = {
  label : string option;
  thread : int; (* -1: none *)
  since_ns : int;
  cancel_requested : bool;
  blocking : bool;
}

external running : pool -> running list = "weir_ml_pool_running"
external watch : int -> int -> bool -> int = "weir_ml_watch"
external watch_take : int -> string option = "weir_ml_watch_take"
external histogram : pool -> times -> int array = "weir_ml_pool_histogram"

external metrics : Bytes.t -> int = "weir_ml_metrics" [@@noalloc]

(* The worker that the calling thread is. *)

external sigset_size : unit -> int = "weir_ml_sigset_size" [@@noalloc]
external block_signals : pool -> Bytes.t -> unit = "weir_ml_block_signals" [@@noalloc]
external restore_signals : Bytes.t -> unit = "weir_ml_restore_signals" [@@noalloc]
external thread_begin : string -> int -> unit = "weir_ml_thread_begin" [@@noalloc]
external thread_end : unit -> unit = "weir_ml_thread_end" [@@noalloc]
external on_pool_thread : unit -> bool = "weir_ml_on_pool_thread" [@@noalloc]
external when_lost : int -> unit = "weir_ml_when_lost" [@@noalloc]
external worker_enter : pool -> int = "weir_ml_worker_enter" [@@noalloc]
external worker_refuse : pool -> int -> unit = "weir_ml_worker_refuse" [@@noalloc]
external worker_wait : unit -> int = "weir_ml_worker_wait"
external worker_next : unit -> int = "weir_ml_worker_next" [@@noalloc]
external worker_settle : int -> int = "weir_ml_worker_settle" [@@noalloc]
external worker_leave : lost:bool -> int -> unit = "weir_ml_worker_leave" [@@noalloc]
external serves : pool -> bool = "weir_ml_serves" [@@noalloc]
external blocking_begin : unit -> unit = "weir_ml_blocking_begin" [@@noalloc]
external blocking_end : unit -> unit = "weir_ml_blocking_end" [@@noalloc]
external spawning_begin : unit -> unit = "weir_ml_spawning_begin" [@@noalloc]
external spawning_end : unit -> unit = "weir_ml_spawning_end" [@@noalloc]
external cancel_requested : unit -> bool = "weir_ml_cancel_requested" [@@noalloc]
external current : unit -> int = "weir_ml_current" [@@noalloc]
external thread_index : unit -> int = "weir_ml_thread_index" [@@noalloc]
external label : unit -> string = "weir_ml_label"
external trace_begin : string -> unit = "weir_ml_trace_begin" [@@noalloc]
external trace_end : unit -> unit = "weir_ml_trace_end" [@@noalloc]
external now : unit -> int = "weir_ml_now" [@@noalloc]
external tick_start : int -> bool = "weir_ml_tick_start" [@@noalloc]
external tick_begin : bool -> unit = "weir_ml_tick_begin" [@@noalloc]
external tick_end : bool -> unit = "weir_ml_tick_end" [@@noalloc]

(* Mains. *)

external main_open : unit -> main = "weir_ml_main_open" [@@noalloc]
external main_fd : main -> Unix.file_descr = "weir_ml_main_fd" [@@noalloc]
external main_next : main -> delivery -> bool = "weir_ml_main_next" [@@noalloc]
external main_wait_next : main -> int -> delivery -> bool = "weir_ml_main_wait_next"
external main_rearm : main -> unit = "weir_ml_main_rearm" [@@noalloc]
external main_post : main -> int -> int = "weir_ml_main_post" [@@noalloc]
external main_pending : main -> int = "weir_ml_main_pending" [@@noalloc]
external main_close : main -> detach:bool -> int = "weir_ml_main_close"
external current_main : unit -> main = "weir_ml_current_main" [@@noalloc]
external run_in_main : main -> int -> int = "weir_ml_run_in_main"
external call_finish : call -> unit = "weir_ml_call_finish" [@@noalloc]
external poll : Unix.file_descr array -> unit = "weir_ml_poll"

(* Tracing. *)

type event = Queued | Started | Settled | Thread | Grew | Closed
type noted = { at : int; pool : string; task : int; event : event; value : int }

external trace_start : int -> bool = "weir_ml_trace_start" [@@noalloc]
external trace_stop : unit -> unit = "weir_ml_trace_stop" [@@noalloc]
external trace_kept : unit -> int = "weir_ml_trace_kept" [@@noalloc]
external trace_missed : unit -> int = "weir_ml_trace_missed" [@@noalloc]
external trace_take : unit -> noted option = "weir_ml_trace_take"
