let ( let* ) = Lwt.bind

(* On a thread beside the loop: may block as it likes. *)
let digest text =
  let sum = Digest.to_hex (Digest.string text) in
  Lwt_preemptive.run_in_main (fun () -> Lwt_io.printlf "%d bytes" (String.length text));
  sum

let main () =
  Lwt_preemptive.init 0 1 prerr_endline;
  let texts = List.init 3 (fun i -> String.make (10_000_000 * (i + 1)) 'x') in
  let* sums = Lwt_list.map_p (Lwt_preemptive.detach digest) texts in
  Lwt_io.printl (String.concat "\n" sums)

let () = Lwt_main.run (main ())
