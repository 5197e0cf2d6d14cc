(* SPDX-License-Identifier: ISC
   The OCaml half of the slots: cells in chunks that never move.

   A directory of chunks grows by being replaced, so a thread that reads an old directory
   finds every chunk that was in it. The core hands an index from the submitter to another
   thread under a lock or by an atomic exchange, so that thread sees the directory that the
   submitter saw. *)

type 'a t = { nothing : 'a; mutable chunks : 'a array array; lock : Mutex.t }

let bits = 10
let chunk = 1 lsl bits
let make nothing = { nothing; chunks = [||]; lock = Mutex.create () }

let grow t n =
  Mutex.lock t.lock;
  let old = t.chunks in
  (try
     if Array.length old < n then
       t.chunks <-
         Array.init n (fun i ->
             if i < Array.length old then old.(i) else Array.make chunk t.nothing)
   with exn ->
     Mutex.unlock t.lock;
     raise exn);
  Mutex.unlock t.lock

(* Call it before the core gets the slot. *)
let set t index x =
  if index lsr bits >= Array.length t.chunks then grow t ((index lsr bits) + 1);
  t.chunks.(index lsr bits).(index land (chunk - 1)) <- x

let get t index = t.chunks.(index lsr bits).(index land (chunk - 1))
let clear t index = t.chunks.(index lsr bits).(index land (chunk - 1)) <- t.nothing
