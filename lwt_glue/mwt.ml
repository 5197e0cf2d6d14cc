(* SPDX-License-Identifier: ISC
   The interface of mwt. README.md lists how it differs from the original. *)

type 'state t = 'state Weir.Pool.t

let noop () = ()

let make ~init ~at_exit n =
  let who = "Mwt.make" in
  let main = Weir_loop.main who in
  let promise, resolver = Lwt.wait () in
  Weir.Pool.create_async ~who ~name:"mwt" ~main ~threads:n ~init ~at_exit
    (Weir_loop.opened resolver);
  promise

let closed = Invalid_argument "Mwt.run"

let run pool f =
  match Weir.Pool.run ~main:(Weir_loop.main "Mwt.run") pool f with
  | future -> Weir_loop.promise ~closed future
  | exception Weir.Closed -> Lwt.fail closed
  | exception ((Failure _ | Out_of_memory) as exn) -> Lwt.fail exn

let close pool = Weir_loop.close "Mwt.close" pool
let close_async pool = ignore (Weir_loop.close "Mwt.close_async" pool)
let run_in_main f = Weir_loop.run_in_main "Mwt.run_in_main" f
