(* SPDX-License-Identifier: ISC *)
(* Checks what a client wants to search for. *)

let valid = "1 to 100 bytes of UTF-8 text"

(* How many bytes follow the first byte of a character, and the range of the second:
   it excludes overlong forms, surrogates and code points beyond Unicode. *)
let rest = function
  | '\001' .. '\x7f' -> Some (0, '\x80', '\xbf')
  | '\xc2' .. '\xdf' -> Some (1, '\x80', '\xbf')
  | '\xe0' -> Some (2, '\xa0', '\xbf')
  | '\xed' -> Some (2, '\x80', '\x9f')
  | '\xe1' .. '\xef' -> Some (2, '\x80', '\xbf')
  | '\xf0' -> Some (3, '\x90', '\xbf')
  | '\xf1' .. '\xf3' -> Some (3, '\x80', '\xbf')
  | '\xf4' -> Some (3, '\x80', '\x8f')
  | _ -> None

let rec is_utf8 = function
  | [] -> true
  | first :: others -> (
    match rest first with
    | None -> false
    | Some (count, low, high) -> follows count low high others)

and follows count low high = function
  | others when count = 0 -> is_utf8 others
  | c :: others when low <= c && c <= high -> follows (count - 1) '\x80' '\xbf' others
  | _ -> false

let is_valid text =
  let length = String.length text in
  1 <= length && length <= 100 && is_utf8 (List.of_seq (String.to_seq text))
