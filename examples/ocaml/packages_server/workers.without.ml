(* SPDX-License-Identifier: ISC *)
(* Stands in for weir-remote where it is not installed. *)

let missing () = failwith "built without weir-remote: install it and build again"
let finder _ = missing ()
let serve _ _ ~threads:_ ~stop:_ = missing ()
