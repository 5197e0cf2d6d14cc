(* SPDX-License-Identifier: ISC
   first [URL]: a job and its handler in one program. With local: (the default) nothing else is
   needed. With amqp://... the queues must be there: weir-remote-setup URL shout *)

module R = Weir_remote

(* A module that client and worker share. *)
let shout = R.job "shout" ~arg:R.Codec.(pair string int) ~result:R.Codec.string

(* What a worker does. The pool's threads have no state here. *)
let answer () (text, marks) = String.uppercase_ascii text ^ String.make marks '!'

let () =
  let url = if Array.length Sys.argv > 1 then Sys.argv.(1) else "local:" in
  let pool = Weir.Pool.create ~threads:2 ~init:ignore ~at_exit:ignore () in
  let farm = R.create url in
  R.serve farm pool [ R.handler shout answer ];
  print_endline (R.await (R.run ~timeout:30. farm shout ("hello", 2)));
  ignore (R.close farm);
  Weir.Pool.close pool
