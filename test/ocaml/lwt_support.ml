(* SPDX-License-Identifier: ISC
   What the Lwt tests share. *)

open Lwt.Infix

(* The loop's main and its watch stay with the process. *)
let warm_up () =
  let once () =
    Mwt.make ~init:Mwt.noop ~at_exit:Mwt.noop 1 >>= fun pool ->
    Mwt.run pool ignore >>= fun () -> Mwt.close pool
  in
  Lwt_main.run (once ())

let () = Support.also_warm_up := warm_up
let test name f = Support.test name (fun () -> Lwt_main.run (f ()))

(* Lwt's own, where it has one. *)
module Exception_filter = struct
  let run (_ : exn) = true [@@ocaml.warning "-32"]
end

let filters =
  let open! Lwt in
  not (Exception_filter.run Stack_overflow)

let is_invalid ~naming = function
  | Invalid_argument message -> Support.contains message naming
  | _ -> false

(* Resolves to the exception that the promise is rejected with. *)
let rejection promise =
  Lwt.try_bind
    (fun () -> promise)
    (fun _ -> Alcotest.fail "the promise was not rejected")
    Lwt.return

let check_rejected what expected promise =
  rejection promise >|= fun exn ->
  if not (expected exn) then Alcotest.failf "%s: rejected with %s" what (Printexc.to_string exn)

let mwt ?(init = Mwt.noop) ?(at_exit = Mwt.noop) n = Mwt.make ~init ~at_exit n

let weir ?name ?queue_limit ?when_full ?(at_exit = ignore) n =
  Weir_lwt.create ?name ?queue_limit ?when_full ~threads:n ~init:ignore ~at_exit ()

(* Without turning the loop: the runtime goes to the other threads. *)
let wait_here = Support.Hold.until_it_runs
