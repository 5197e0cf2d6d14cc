(* SPDX-License-Identifier: ISC
   What the watcher finds becomes a warning of Logs. *)

let src = Logs.Src.create "weir" ~doc:"What the watcher of weir finds"

(* Without a reporter Logs drops every message. *)
let tell text =
  if Logs.reporter () == Logs.nop_reporter then prerr_endline ("weir: " ^ text)
  else Logs.warn ~src (fun message -> message "%s" text)

let () = Weir.Watch.report := Some tell
