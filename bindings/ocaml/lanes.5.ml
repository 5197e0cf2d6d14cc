(* SPDX-License-Identifier: ISC
   What a pool's thread is made of, from OCaml 5 on. *)

let may_lose = false
let domains = true
let start_thread f = ignore (Thread.create f ())

(* A new domain does not inherit Printexc.record_backtrace. *)
let start_domain f =
  let backtraces = Printexc.backtrace_status () in
  let body () =
    Printexc.record_backtrace backtraces;
    f ()
  in
  ignore (Domain.spawn body)
