(* SPDX-License-Identifier: ISC
   What the watcher finds becomes a warning of Logs. *)

let src = Logs.Src.create "weir" ~doc:"What the watcher of weir finds"

let () =
  Weir.Watch.report := Some (fun text -> Logs.warn ~src (fun message -> message "%s" text))
