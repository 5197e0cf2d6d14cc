(* SPDX-License-Identifier: ISC *)
(* Finds the machine's package lists and reads them the way apt does. *)

let dpkg_status = "/var/lib/dpkg/status"
let apt_helper = "/usr/lib/apt/apt-helper"

let with_output_of command f =
  let channel = Unix.open_process_args_in command.(0) command in
  match f channel with
  | result ->
    if Unix.close_process_in channel <> Unix.WEXITED 0 then
      failwith (String.concat " " (Array.to_list command) ^ " failed");
    result
  | exception e ->
    ignore (Unix.close_process_in channel);
    raise e

let rec lines channel =
  match input_line channel with
  | line -> line :: lines channel
  | exception End_of_file -> []

let fetched_by_apt () =
  let only = "Created-By: Packages" in
  with_output_of [| "apt-get"; "indextargets"; "--format"; "$(FILENAME)"; only |] lines

let here () =
  match fetched_by_apt () with
  | [] | (exception (Failure _ | Unix.Unix_error _)) -> [ dpkg_status ]
  | lists -> lists

let read_plain path f =
  match open_in_bin path with
  | exception Sys_error reason -> failwith reason
  | channel -> Fun.protect ~finally:(fun () -> close_in channel) (fun () -> f channel)

let is_compressed path =
  List.mem (Filename.extension path) [ ".bz2"; ".gz"; ".lz4"; ".lzma"; ".xz"; ".zst" ]

(* apt keeps its lists in several formats, and has a program that reads them all. *)
let read path f =
  if is_compressed path then with_output_of [| apt_helper; "cat-file"; path |] f
  else read_plain path f
