(* SPDX-License-Identifier: ISC *)
(* What this program needs of a database, whichever it is. Connections belong to
   the thread that opened them, and everything here waits for the database. *)

type found = { total : int; first : hit list }
and hit = { name : string; version : string; summary : string }

type reader = { search : string -> found; close : unit -> unit }

(* Replaces all packages in one transaction: nothing changes before [commit],
   and [abandon] undoes everything. *)
type writer = { add : Package.t -> unit; commit : unit -> unit; abandon : unit -> unit }

type t = { open_reader : unit -> reader; open_writer : unit -> writer }

(* SQL that SQLite and PostgreSQL understand alike. *)

let create =
  "CREATE TABLE IF NOT EXISTS packages (name TEXT NOT NULL, version TEXT NOT NULL, summary TEXT \
   NOT NULL, details TEXT NOT NULL, PRIMARY KEY (name, version))"

let clear = "DELETE FROM packages"
let insert = "INSERT INTO packages VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"
let texts { Package.name; version; summary; details } = [ name; version; summary; details ]

(* [like] is the database's operator that ignores case. The search reads every row,
   because no ordinary index finds a word in the middle of a text. *)
let search ~like =
  let matches column = Printf.sprintf "%s %s $1 ESCAPE '!'" column like in
  Printf.sprintf
    "SELECT name, version, summary, count(*) OVER () FROM packages WHERE %s ORDER BY name, \
     version LIMIT 20"
    (String.concat " OR " (List.map matches [ "name"; "summary"; "details" ]))

(* The pattern that matches [text] anywhere; LIKE's special characters are escaped. *)
let pattern text =
  let escaped = function ('%' | '_' | '!') as c -> Printf.sprintf "!%c" c | c -> String.make 1 c in
  let characters = List.map escaped (List.of_seq (String.to_seq text)) in
  "%" ^ String.concat "" characters ^ "%"

(* Rows of [search], each with the total beside it. *)
let found = function
  | [] -> { total = 0; first = [] }
  | (_, total) :: _ as rows -> { total; first = List.map fst rows }
