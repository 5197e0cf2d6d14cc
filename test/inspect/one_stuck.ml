(* SPDX-License-Identifier: ISC
   As one_stuck.c. *)

let wait () = ignore (Unix.read Unix.stdin (Bytes.create 1) 0 1)

let print (r : Weir.Control.running) =
  Printf.printf "snapshot: %s on %d\n" (Option.get r.label) (Option.get r.thread)

let look pool ~stuck =
  while (Weir.Pool.stats pool).oldest_running_ns > 0 <> stuck do
    Thread.yield ()
  done;
  Printf.printf "snapshot: %d running\n" (Weir.Pool.stats pool).running;
  List.iter print (Weir.Pool.running pool);
  print_endline "ready"

let () =
  let stuck = Sys.argv.(1) = "stuck" in
  let pool = Weir.Pool.create ~name:"db" ~threads:2 ~init:ignore ~at_exit:ignore () in
  Weir.Watch.start ~task:2. ~loop:20. ();
  Weir.Future.await (Weir.Pool.run ~label:"quick" pool ignore);
  let import = if stuck then Some (Weir.Pool.run ~label:"import" pool wait) else None in
  Weir.Trace.slice "look" (fun () -> look pool ~stuck);
  if not stuck then wait ();
  Option.iter Weir.Future.await import;
  Weir.Watch.stop ();
  Weir.Pool.close pool
