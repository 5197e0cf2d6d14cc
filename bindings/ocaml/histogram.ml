(* SPDX-License-Identifier: ISC
   A histogram of times, coarse or fine. Coarse: bucket 0 counts zeros, bucket i those of
   [2^(i-1), 2^i) ns. Fine: as weir_times_below has it. *)

type t = { below : int -> int; counts : int array }
type bucket = { from_ns : int; below_ns : int; count : int }

(* 2^62 is too large for an OCaml integer, and the clock does not get there. *)
let power i = if i < 0 then 0 else if i > 61 then max_int else 1 lsl i

let fine i =
  let shift = (i / 4) - 1 in
  if i < 8 then i + 1 else if shift > 58 then max_int else ((i mod 4) + 5) lsl shift

let of_counts counts = { below = power; counts }
let of_times counts = { below = fine; counts }
let count t = Array.fold_left ( + ) 0 t.counts

let buckets t =
  let from i = if i = 0 then 0 else t.below (i - 1) in
  let bucket i count = { from_ns = from i; below_ns = t.below i; count } in
  List.filter (fun b -> b.count > 0) (List.mapi bucket (Array.to_list t.counts))

(* The bucket of the time with this rank. The shortest time has rank 1. *)
let rec of_rank rank = function
  | [ b ] -> b
  | b :: _ when b.count >= rank -> b
  | b :: rest -> of_rank (rank - b.count) rest
  | [] -> invalid_arg "of_rank"

let percentile t p =
  if not (p >= 0. && p <= 100.) then
    invalid_arg (Printf.sprintf "Weir.Histogram.percentile: p is %g, not in 0..100" p);
  let rank = max 1 (int_of_float (ceil (p /. 100. *. float (count t)))) in
  match buckets t with [] -> None | all -> Some (float (of_rank rank all).below_ns /. 1e9)

let pp_bucket f b = Format.fprintf f "%12d .. %12d ns  %d" b.from_ns b.below_ns b.count
let pp f t = Format.(pp_print_list ~pp_sep:pp_force_newline pp_bucket) f (buckets t)
