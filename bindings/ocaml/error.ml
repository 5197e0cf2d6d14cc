(* SPDX-License-Identifier: ISC
   The exceptions, and what happens to an exception that nobody can catch. *)

exception Closed
exception Full
exception Expired
exception Canceled

let () =
  Printexc.register_printer (function
    | Closed -> Some "Weir.Closed"
    | Full -> Some "Weir.Full"
    | Expired -> Some "Weir.Expired"
    | Canceled -> Some "Weir.Canceled"
    | _ -> None)

let forked who = Failure (who ^ ": the pool's threads stayed behind in the parent process (fork)")

let of_code who code =
  if code = Raw.closed then Closed
  else if code = Raw.full then Full
  else if code = Raw.forked then forked who
  else if code = Raw.out_of_memory then Out_of_memory
  else if code = Raw.again then Sys_error (who ^ ": the system refused a thread")
  else if code = Raw.deadlock then Invalid_argument (who ^ ": would deadlock: nobody is left to end this wait")
  else Invalid_argument (who ^ ": " ^ Raw.strerror code)

type handler = exn -> Printexc.raw_backtrace -> unit

let print exn trace =
  Printf.eprintf "weir: uncaught exception %s\n%!" (Printexc.to_string exn);
  Printexc.print_raw_backtrace stderr trace;
  flush stderr

(* When stderr is gone, nobody is left to report to. *)
let report exn trace =
  try print exn trace with Sys_error _ | Out_of_memory | Stack_overflow -> ()

type unhandled = {
  pool : string;
  from : [ `Task | `Init | `At_exit ];
  label : string option;
  exn : exn;
  trace : Printexc.raw_backtrace;
}

let place u =
  match (u.from, u.label) with
  | `Task, Some label -> Printf.sprintf "task '%s', given up" label
  | `Task, None -> "a task given up"
  | `Init, _ -> "init"
  | `At_exit, _ -> "at_exit"

let print_unhandled u =
  Printf.eprintf "weir: pool '%s': uncaught exception in %s: %s\n%!" u.pool (place u)
    (Printexc.to_string u.exn);
  Printexc.print_raw_backtrace stderr u.trace;
  flush stderr

let on_unhandled = ref print_unhandled

(* What the hook raises is printed, because nobody on this thread could catch it. *)
let unhandled ?label pool from exn trace =
  try !on_unhandled { pool; from; label; exn; trace }
  with again -> report again (Printexc.get_raw_backtrace ())

(* An exception of the handler itself passes. *)
let protect (handler : handler) f x =
  try f x with exn -> handler exn (Printexc.get_raw_backtrace ())
