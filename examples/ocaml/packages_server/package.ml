(* SPDX-License-Identifier: ISC *)
(* Reads packages from control files: paragraphs of "Field: value" lines. *)

type t = { name : string; version : string; summary : string; details : string }

let nothing = { name = ""; version = ""; summary = ""; details = "" }

let with_field package field value =
  match field with
  | "Package" -> { package with name = value }
  | "Version" -> { package with version = value }
  | "Description" -> { package with summary = value }
  | "Depends" | "Homepage" | "Maintainer" | "Provides" | "Section" | "Tag" ->
    { package with details = Printf.sprintf "%s%s: %s\n" package.details field value }
  | _ -> package

let split_at i line =
  let value = String.sub line (i + 1) (String.length line - i - 1) in
  (String.sub line 0 i, String.trim value)

(* A line that starts with a blank continues the field above it; no field that is
   wanted here needs more than its first line. *)
let with_line package line =
  match (line.[0], String.index_opt line ':') with
  | (' ' | '\t'), _ | _, None -> package
  | _, Some i ->
    let field, value = split_at i line in
    with_field package field value

let iter f channel =
  let finish package = if package.name <> "" then f package in
  let rec go package =
    match input_line channel with
    | "" ->
      finish package;
      go nothing
    | line -> go (with_line package line)
    | exception End_of_file -> finish package
  in
  go nothing
