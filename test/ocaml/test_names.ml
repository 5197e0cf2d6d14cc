(* SPDX-License-Identifier: ISC
   OCaml repeats numbers of weir.h and ml.h: each name means the same on both sides. *)

open Weir__

external names : unit -> (string * int) array = "test_names"
external number : 'a -> int = "%identity"

let rec place ?(n = 0) policy =
  if Options.policies.(n) = policy then n else place ~n:(n + 1) policy

let ours =
  [
    ("WEIR_EINVAL", Raw.invalid);
    ("WEIR_ENOMEM", Raw.out_of_memory);
    ("WEIR_EAGAIN", Raw.again);
    ("WEIR_ECLOSED", Raw.closed);
    ("WEIR_EFULL", Raw.full);
    ("WEIR_EBUSY", Raw.busy);
    ("WEIR_ECANCELED", Raw.canceled);
    ("WEIR_EEXPIRED", Raw.expired);
    ("WEIR_ETIMEDOUT", Raw.timed_out);
    ("WEIR_EDEADLK", Raw.deadlock);
    ("WEIR_EINIT", Raw.init_failed);
    ("WEIR_EPERM", Raw.wrong_thread);
    ("WEIR_EFORKED", Raw.forked);
    ("WEIR_TASK_IDLE", number Raw.Idle);
    ("WEIR_TASK_QUEUED", number (Raw.Queued : Raw.task_state));
    ("WEIR_TASK_RUNNING", number Raw.Running);
    ("WEIR_TASK_PARKED", number Raw.Parked);
    ("WEIR_TASK_SETTLED", number (Raw.Settled : Raw.task_state));
    ("WEIR_NORMAL", number Raw.Normal);
    ("WEIR_HIGH", number Raw.High);
    ("WEIR_LOW", number Raw.Low);
    ("WEIR_REFUSE", place `Reject);
    ("WEIR_BLOCK", place `Block);
    ("WEIR_CALLER_RUNS", place `Run_here);
    ("WEIR_DROP_OLDEST", place `Drop_oldest);
    ("WEIR_QUEUE_TIME", number Raw.Queue_time);
    ("WEIR_RUN_TIME", number Raw.Run_time);
    ("WEIR_TRACE_QUEUED", number (Raw.Queued : Raw.event));
    ("WEIR_TRACE_STARTED", number Raw.Started);
    ("WEIR_TRACE_SETTLED", number (Raw.Settled : Raw.event));
    ("WEIR_TRACE_THREAD", number Raw.Thread);
    ("WEIR_TRACE_GREW", number Raw.Grew);
    ("WEIR_TRACE_CLOSED", number Raw.Closed);
  ]

let same () =
  let sort = List.sort compare in
  Alcotest.(check (list (pair string int)))
    "names" (sort (Array.to_list (names ()))) (sort ours)

let () = Alcotest.run "names" [ ("C", [ Support.test "each name has one number" same ]) ]
