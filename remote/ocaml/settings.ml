(* SPDX-License-Identifier: ISC
   A farm's options: checked, and as they hold. The farm checks what is not checked here. *)

type when_full = [ `Reject | `Block | `Drop_oldest ]

type t = {
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

let longest = 1e9

let ns who name s =
  if s > 0. && s <= longest then int_of_float (s *. 1e9)
  else invalid_arg (Printf.sprintf "%s: %s is %g, not seconds above 0" who name s)

let ns_option who name = function None -> 0 | Some s -> ns who name s

let count who name = function
  | None -> 0
  | Some n when n > 0 && n <= 0x7fffffff -> n
  | Some n -> invalid_arg (Printf.sprintf "%s: %s is %d, not above 0" who name n)

(* C would take the text up to its first zero byte for the whole. *)
let text who name s =
  if String.contains s '\000' then
    invalid_arg (Printf.sprintf "%s: %s has a zero byte: %S" who name s);
  s

(* As weir_full_policy numbers them. *)
let to_policy : when_full -> int = function `Reject -> 0 | `Block -> 1 | `Drop_oldest -> 3
let of_policy : int -> when_full = function 1 -> `Block | 3 -> `Drop_oldest | _ -> `Reject

let plain ?credentials_file ?ca_file who url : Raw.options =
  {
    url = text who "url" url;
    credentials_file = Option.map (text who "credentials_file") credentials_file;
    ca_file = Option.map (text who "ca_file") ca_file;
    queue_limit = 0;
    when_full = 0;
    message_limit = 0;
    give_up = 0;
    heartbeat = 0;
    reconnect_min = 0;
    reconnect_max = 0;
    reply_life = 0;
    connect_within = 0;
    consumer_timeout = 0;
  }

let seconds ns = float_of_int ns /. 1e9

let shown (o : Raw.options) =
  {
    url = o.url;
    credentials_file = o.credentials_file;
    ca_file = o.ca_file;
    queue_limit = (if o.queue_limit = 0 then None else Some o.queue_limit);
    when_full = of_policy o.when_full;
    message_limit = o.message_limit;
    give_up = seconds o.give_up;
    heartbeat = seconds o.heartbeat;
    reconnect = (seconds o.reconnect_min, seconds o.reconnect_max);
    reply_life = seconds o.reply_life;
    connect_within = seconds o.connect_within;
    consumer_timeout = seconds o.consumer_timeout;
  }
