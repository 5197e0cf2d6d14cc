(* SPDX-License-Identifier: ISC
   Each scenario with the n-th request of weir's C refused, one or all that follow, for
   n = 0, 1, 2 ... until none is. It ends in its result or an exception that is documented,
   and leaves no block, slot or thread behind. The alarm ends what hangs. *)

external arm : int -> int -> int -> unit = "weir_refuse_arm" [@@noalloc]
external disarm : unit -> int = "weir_refuse_disarm" [@@noalloc]
external alive : unit -> int = "weir_refuse_alive" [@@noalloc]

module Pool = Weir.Pool
module Future = Weir.Future
module Main = Weir.Main

let kinds = [| "memory"; "threads"; "descriptors" |]

(* Whatever happens inside, the pool is closed with nothing refused. *)
let with_pool ?(threads = 1) ?threads_max ?queue_limit ?when_full f =
  let pool =
    Pool.create ?threads_max ?queue_limit ?when_full ~threads ~init:ignore ~at_exit:ignore ()
  in
  Fun.protect
    ~finally:(fun () ->
      ignore (disarm ());
      Pool.close pool)
    (fun () -> f pool)

let opens () = with_pool ignore

let runs () =
  with_pool @@ fun pool ->
  let list = List.init 5 (fun i -> Pool.run pool (fun () -> i)) in
  assert (List.map Future.await list = [ 0; 1; 2; 3; 4 ])

let deadlines () =
  with_pool @@ fun pool ->
  assert (Future.await (Pool.run ~start_within:3600. ~priority:Pool.High pool (fun () -> 7)) = 7)

let many () =
  with_pool @@ fun pool ->
  let list = List.init 700 (fun i -> Pool.run pool (fun () -> i)) in
  List.iteri (fun i f -> assert (Future.await f = i)) list

let grows () =
  with_pool ~threads_max:3 @@ fun pool ->
  List.iter Future.await (List.init 6 (fun _ -> Pool.run pool Thread.yield))

let comes_when_asked () =
  with_pool ~threads:0 ~threads_max:1 @@ fun pool -> Future.await (Pool.run pool ignore)

let blocks () =
  with_pool ~queue_limit:1 ~when_full:`Block @@ fun pool ->
  List.iter Future.await (List.init 5 (fun _ -> Pool.run pool ignore))

let turns () =
  let main = Main.create () in
  Fun.protect ~finally:(fun () -> ignore (disarm ()); Main.close ~detach:true main)
  @@ fun () ->
  with_pool @@ fun pool ->
  let settled = ref false in
  let future = Pool.run ~main pool (fun () -> Main.run_in ~main (fun () -> 5)) in
  Future.on_settle future (fun _ -> settled := true);
  while not !settled do
    ignore (Main.wait main)
  done;
  assert (Future.await future = 5)

let looks () =
  with_pool @@ fun pool ->
  Future.await (Pool.run ~label:"looked at" pool ignore);
  ignore (Pool.stats pool);
  ignore (Pool.running pool)

let scenarios =
  [
    ("opens", opens); ("runs", runs); ("deadlines", deadlines); ("many", many);
    ("grows", grows); ("comes when asked", comes_when_asked); ("blocks", blocks);
    ("turns", turns); ("looks", looks);
  ]

let is_documented = function
  | Out_of_memory | Sys_error _ | Unix.Unix_error _ | Failure _ | Weir.Closed | Weir.Canceled ->
      true
  | _ -> false

(* What stays for good is there after the first run of each. A thread that has left its pool
   may still give something back. *)
let rec blocks_left ?(looks = 5000) most =
  Gc.full_major ();
  if alive () <= most || looks = 0 then alive ()
  else begin
    Thread.yield ();
    blocks_left ~looks:(looks - 1) most
  end

let rec settled_blocks ?(same = 0) least =
  let now = blocks_left ~looks:1 0 in
  if same = 50 then min now least
  else settled_blocks ~same:(if now < least then 0 else same + 1) (min now least)

let attempt name f kind n row =
  ignore (Unix.alarm 60);
  arm kind n row;
  let outcome = try Ok (f ()) with e -> Error e in
  let injected = disarm () in
  (match outcome with
  | Ok () -> ()
  | Error e when injected > 0 && is_documented e -> ()
  | Error e ->
      Printf.printf "FAILED: %s, %s %d refused, row %d: %s\n%!" name kinds.(kind) n row
        (Printexc.to_string e);
      exit 1);
  injected

let rec sweep ?(total = 0) ?(n = 0) name f kind row ~most =
  let injected = if n > most then 0 else attempt name f kind n row in
  if injected = 0 then total
  else sweep ~total:(total + injected) ~n:(n + 1) name f kind row ~most

let sweep_kind ~most kind row =
  let of_one (name, f) =
    f ();
    let before = settled_blocks max_int in
    let total = sweep name f kind row ~most in
    let after = blocks_left before in
    if after > before + 3 then begin
      Printf.printf "FAILED: %s, %s, row %d: %d blocks, %d before\n%!" name kinds.(kind) row
        after before;
      exit 1
    end;
    total
  in
  let total = List.fold_left (fun sum s -> sum + of_one s) 0 scenarios in
  Printf.printf "faults injected: %d (%s, rows of %d, %d scenarios)\n%!" total kinds.(kind) row
    (List.length scenarios);
  total

let () =
  let most = int_of_string Sys.argv.(1) in
  let totals =
    List.concat_map (fun kind -> List.map (sweep_kind ~most kind) [ 1; 2; -1 ]) [ 0; 1; 2 ]
  in
  Printf.printf "%d passed, %d failed\n"
    (List.length totals)
    (if List.fold_left ( + ) 0 totals > 0 then 0 else 1)
