(* SPDX-License-Identifier: ISC
   What carries a worker, from OCaml 5 on. *)

let may_lose = false
let domains = true
let start_thread f = ignore (Thread.create f ())

(* A new domain does not inherit the switch. *)
let start_domain f =
  let backtraces = Printexc.backtrace_status () in
  let body () =
    Printexc.record_backtrace backtraces;
    f ()
  in
  ignore (Domain.spawn body)
