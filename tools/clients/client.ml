(* SPDX-License-Identifier: ISC *)

(* A program that uses weir as installed. *)
let () =
  let pool = Weir.Pool.create ~threads:2 ~init:(fun () -> 20) ~at_exit:ignore () in
  let answer = Weir.Pool.run pool (fun state -> state + 1) in
  let sum = Weir.Future.await answer * 2 in
  Weir.Pool.close pool;
  Printf.printf "%d\n" sum;
  if sum <> 42 then exit 1
