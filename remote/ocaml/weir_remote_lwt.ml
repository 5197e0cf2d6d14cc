(* SPDX-License-Identifier: ISC
   A future settles on the farm's thread; its promise is resolved by a post to the loop's main. *)

let main who = Weir_loop.main ("Weir_remote_lwt." ^ who)

(* The loop may have ended. *)
let post main f = try Weir.Main.post ~main f with Weir.Closed -> ()

let promise main call =
  let promise, resolver = Lwt.task () in
  let resolve outcome () =
    if Lwt.is_sleeping promise then Weir_loop.resolve ~closed:Weir.Closed resolver outcome
  in
  Weir.Future.on_settle (Weir_remote.future call) (fun outcome -> post main (resolve outcome));
  Lwt.on_cancel promise (fun () -> ignore (Weir_remote.cancel call));
  promise

let run ?priority ?start_within ?timeout ?orphan farm job x =
  let main = main "run" in
  match Weir_remote.run ?priority ?start_within ?timeout ?orphan farm job x with
  | call -> promise main call
  | exception (Invalid_argument _ as exn) -> raise exn
  | exception exn -> Lwt.fail exn

let serve = Weir_remote.serve

let close ?mode ?within farm =
  let main = main "close" in
  let promise, resolver = Lwt.wait () in
  let body () =
    let outcome : _ Weir.Future.outcome =
      match Weir_remote.close ?mode ?within farm with
      | closed -> Value closed
      | exception exn -> Raised (exn, Printexc.get_raw_backtrace ())
    in
    post main (fun () -> Weir_loop.resolve ~closed:Weir.Closed resolver outcome)
  in
  ignore (Thread.create body ());
  promise
