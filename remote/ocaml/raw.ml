(* SPDX-License-Identifier: ISC
   Every external. Pointers are immediate values: an address with its lowest bit set. *)

type desk
type farm
type job
type request

external no_job : unit -> job = "%identity"

let no_job = no_job ()

type options = {
  url : string;
  credentials_file : string option;
  ca_file : string option;
  queue_limit : int;
  when_full : int;
  message_limit : int;
  give_up : int;
  heartbeat : int;
  reconnect_min : int;
  reconnect_max : int;
  reply_life : int;
  connect_within : int;
  consumer_timeout : int;
}
(* The stubs rely on this order, and on those below. Times are in ns, 0 is each default. *)

type how = {
  content_type : string;
  priority : int;
  start_within : int;
  timeout : int;
  only_if_wanted : bool;
  may_block : bool;
}

type kind = Answer | Request | Stop | Event

type item = {
  kind : kind;
  number : int;
  outcome : int;
  bytes : string;
  bytes_type : string;
  error_name : string;
  error_text : string;
  request : request;
}

type request_info = {
  name : string;
  id : string;
  attempt : int;
  level : int;
  argument : string;
  argument_type : string;
}

type stats = {
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

(* Those that return int return 0 or a code of weir.h or weir_remote.h. *)

external desk_open : unit -> desk = "weir_remote_ml_desk_open"
external desk_close : desk -> unit = "weir_remote_ml_desk_close"
external desk_wait : desk -> unit = "weir_remote_ml_desk_wait"
external desk_take : desk -> item option = "weir_remote_ml_desk_take"
external pending : desk -> bool = "weir_remote_ml_pending"
external nudge : desk -> unit = "weir_remote_ml_nudge"
external farm_open : desk -> options -> farm = "weir_remote_ml_open"
(* Raises Failure or Invalid_argument with the sentence. *)

external farm_options : farm -> options = "weir_remote_ml_options"
external farm_close : farm -> int -> int -> int = "weir_remote_ml_close"
external stats : farm -> stats = "weir_remote_ml_stats"
external metrics : farm array -> string = "weir_remote_ml_metrics"
external trace : string -> int = "weir_remote_ml_trace"
external declare : options -> string array -> int = "weir_remote_ml_declare"
external error : unit -> string = "weir_remote_ml_error"

external run : desk -> farm -> int -> string -> string -> how -> int * job
  = "weir_remote_ml_run_bytes" "weir_remote_ml_run"

external job_id : job -> string = "weir_remote_ml_job_id"
external cancel : job -> int = "weir_remote_ml_cancel"
external unref : job -> unit = "weir_remote_ml_unref"
external serve : desk -> farm -> string array -> int array -> int -> int = "weir_remote_ml_serve"
external request_info : request -> request_info = "weir_remote_ml_request_info"
external begin_request : int -> int = "weir_remote_ml_begin"
(* Of the item with that number. *)

external cancelled : request -> bool = "weir_remote_ml_cancelled"
external reply : request -> string -> string -> int = "weir_remote_ml_reply"
external fail : request -> string -> string -> int = "weir_remote_ml_fail"
external retry : request -> int = "weir_remote_ml_retry"
external release : request -> unit = "weir_remote_ml_release"
