(* SPDX-License-Identifier: ISC *)
(* Stands in for PostgreSQL where its library is not installed. *)

let store _ = failwith "built without PostgreSQL: install libpostgresql-ocaml-dev and build again"
