let ( let* ) = Lwt.bind

(* On a thread of the pool, with that thread's state. *)
let digest text calls =
  incr calls;
  let sum = Printf.sprintf "%d: %s" !calls (Digest.to_hex (Digest.string text)) in
  Weir_lwt.run_in_main (fun () -> Lwt_io.printlf "%d bytes" (String.length text));
  sum

let create () =
  Weir_lwt.create ~name:"digests" ~threads:1 ~init:(fun () -> ref 0) ~at_exit:ignore ()

let main () =
  Weir_lwt.with_pool (create ()) (fun pool ->
      let texts = List.init 3 (fun i -> String.make (10_000_000 * (i + 1)) 'x') in
      let* sums = Lwt_list.map_p (fun text -> Weir_lwt.run pool (digest text)) texts in
      Lwt_io.printl (String.concat "\n" sums))

let () = Lwt_main.run (main ())
