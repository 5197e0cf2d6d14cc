(* SPDX-License-Identifier: ISC
   worker URL: runs the jobs "shout" of other programs until SIGTERM comes. Then it takes no more,
   answers those that it has begun, and ends with 0. *)

module R = Weir_remote

let shout = R.job "shout" ~arg:R.Codec.(pair string int) ~result:R.Codec.string
let answer () (text, marks) = String.uppercase_ascii text ^ String.make marks '!'

let () =
  let stops = [ Sys.sigterm; Sys.sigint ] in
  ignore (Thread.sigmask SIG_BLOCK stops); (* before any thread is there, which inherits it *)
  let pool = Weir.Pool.create ~threads:2 ~init:ignore ~at_exit:ignore () in
  let farm = R.create Sys.argv.(1) in
  R.serve farm pool [ R.handler shout answer ];
  print_endline "working";
  ignore (Thread.wait_signal stops);
  ignore (Thread.sigmask SIG_UNBLOCK stops); (* a second one ends the program at once *)
  ignore (R.close farm);
  Weir.Pool.close pool
