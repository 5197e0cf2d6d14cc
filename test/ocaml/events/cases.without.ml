(* SPDX-License-Identifier: ISC *)

let run () = print_endline "skipped: runtime events: this OCaml has none\n0 passed, 0 failed, 1 skipped"
