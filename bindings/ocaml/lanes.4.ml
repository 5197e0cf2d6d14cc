(* SPDX-License-Identifier: ISC
   What a pool's thread is made of, before OCaml 5. *)

let may_lose = true (* Thread.exit ends the thread, and no OCaml handler sees it *)
let domains = false
let start_thread f = ignore (Thread.create f ())
let start_domain _ = invalid_arg "Weir.Pool.create: ~kind:`Domains needs OCaml 5"
