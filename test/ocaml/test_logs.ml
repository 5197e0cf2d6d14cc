(* SPDX-License-Identifier: ISC
   What the watcher finds goes to Logs where weir.logs is linked. *)

open Support

let told = Atomic.make ""

let report src level ~over k message =
  let keep text =
    if Logs.Src.name src = "weir" && level = Logs.Warning then Atomic.set told text;
    over ();
    k ()
  in
  message (fun ?header:_ ?tags:_ format -> Format.kasprintf keep format)

let logged () =
  Logs.set_reporter { Logs.report };
  let pool = Weir.Pool.create ~name:"db" ~threads:1 ~init:ignore ~at_exit:ignore () in
  let hold = Hold.make () in
  let held = Weir.Pool.run ~label:"import" pool (Hold.task hold) in
  Hold.until_it_runs hold;
  Weir.Watch.start ~task:0.01 ();
  until (fun () -> Atomic.get told <> "");
  Weir.Watch.stop ();
  check_contains "the warning" (Atomic.get told) "task 'import' has run for ";
  Hold.let_go hold;
  Weir.Future.await held;
  Weir.Pool.close pool

let unreported () = Option.get !Weir.Watch.report "task 'import' has run for 30 s on db/0"

let () =
  main
    ~scenarios:[ ("unreported", unreported) ]
    "logs"
    [
      ( "the watcher",
        [
          test "warns through Logs" logged;
          scenario_test "writes to stderr while Logs has no reporter" "unreported"
            [ "weir: task 'import' has run for 30 s on db/0" ];
        ] );
    ]
