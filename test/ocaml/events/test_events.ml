(* SPDX-License-Identifier: ISC *)

let () = Cases.run ()
