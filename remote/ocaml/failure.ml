(* SPDX-License-Identifier: ISC
   Exceptions, and the codes of weir.h and weir_remote.h that they stand for. *)

exception Remote_error of { job : string; name : string; text : string; backtrace : string }
exception Lost of string
exception Unknown_job of string
exception Timeout
exception Retry

let () =
  Printexc.register_printer (function
    | Remote_error { job; name; text; _ } ->
        Some (Printf.sprintf "Weir_remote.Remote_error: job %s: %s: %s" job name text)
    | Lost text -> Some ("Weir_remote.Lost: " ^ text)
    | Unknown_job text -> Some ("Weir_remote.Unknown_job: " ^ text)
    | Timeout -> Some "Weir_remote.Timeout"
    | Retry -> Some "Weir_remote.Retry"
    | _ -> None)

let invalid = -1
let closed = -5
let full = -6
let timed_out = -10
let lost = 1

(* A call has failed on this thread, with this code. *)
let raise_of code =
  let sentence = Raw.error () in
  if code = closed then raise Weir.Closed
  else if code = full then raise Weir.Full
  else if code = lost then raise (Lost sentence)
  else if code = invalid || code = -7 || code = -13 then invalid_arg sentence
  else failwith sentence

(* What stands behind the first empty line of an error's text is its backtrace. *)
let separator = "\n\n"

let text_with exn trace =
  let text = Printexc.to_string exn and trace = Printexc.raw_backtrace_to_string trace in
  if trace = "" then text else text ^ separator ^ trace

let split text =
  let n = String.length text in
  let rec from i =
    if i + 1 >= n then (text, "")
    else if text.[i] = '\n' && text.[i + 1] = '\n' then
      (String.sub text 0 i, String.sub text (i + 2) (n - i - 2))
    else from (i + 1)
  in
  from 0

let remote_error job (item : Raw.item) =
  let text, backtrace = split item.error_text in
  Remote_error { job; name = item.error_name; text; backtrace }

let exn_of job (item : Raw.item) =
  match item.outcome with
  | -10 -> Timeout
  | 1 -> Lost item.error_text
  | 2 -> remote_error job item
  | 3 -> Unknown_job item.error_text
  | _ -> Failure (Printf.sprintf "Weir_remote: job %s: %s" job item.error_text)

(* Of an answer that is no result. *)
let outcome_of job (item : Raw.item) : _ Weir.Future.outcome =
  match item.outcome with
  | -5 -> Closed
  | -6 -> Full
  | -8 -> Canceled
  | -9 -> Expired
  | _ -> Raised (exn_of job item, Printexc.get_callstack 0)
