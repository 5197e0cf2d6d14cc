(* The statistics of a pool: the snapshot of its counters, and how long its tasks were
   queued and ran. *)
let ( let* ) = Lwt.bind

let us seconds = seconds *. 1e6

let show_bucket total (b : Weir.Histogram.bucket) =
  let width = 1 + (b.count * 40 / total) in
  Printf.printf "%12.1f us %s\n" (float b.below_ns /. 1e3) (String.make width '#')

let show what histogram =
  let total = Weir.Histogram.count histogram in
  let percentile p = us (Option.get (Weir.Histogram.percentile histogram p)) in
  Printf.printf "%d tasks %s: half below %.1f us, 99%% below %.1f us\n" total what
    (percentile 50.) (percentile 99.);
  List.iter (show_bucket total) (Weir.Histogram.buckets histogram)

(* Every tenth task fails, the others take longer and longer. *)
let task i () =
  if i mod 10 = 0 then failwith "a tenth";
  for _ = 1 to i * 100 do
    ignore (Sys.opaque_identity i)
  done

let run pool i =
  let priority = if i mod 2 = 0 then Weir.High else Weir.Low in
  let ignore_failure _ = Lwt.return_unit in
  Lwt.catch (fun () -> Weir_lwt.run ~priority pool (task i)) ignore_failure

let main () =
  let* pool =
    Weir_lwt.create ~name:"stats" ~threads:2 ~measure:`Times ~init:ignore ~at_exit:ignore ()
  in
  let* () = Lwt_list.iter_p (run pool) (List.init 200 succ) in
  Format.printf "%a@." Weir.Stats.pp (Weir_lwt.stats pool);
  show "queued" (Weir_lwt.histogram pool `Queue_time);
  show "ran" (Weir_lwt.histogram pool `Run_time);
  Weir_lwt.close pool

let () = Lwt_main.run (main ())
