(* SPDX-License-Identifier: ISC
   MessagePack (https://github.com/msgpack/msgpack/blob/master/spec.md), without extensions. *)

exception Error of string

let fail fmt = Printf.ksprintf (fun text -> raise (Error text)) fmt

(* ---- writing ---- *)

let byte b n = Buffer.add_uint8 b (n land 0xff)
let write_nil b = byte b 0xc0
let write_bool b x = byte b (if x then 0xc3 else 0xc2)

let write_float b x =
  byte b 0xcb;
  Buffer.add_int64_be b (Int64.bits_of_float x)

let byte_and add b tag n =
  byte b tag;
  add b n

let add_32 b n = Buffer.add_int32_be b (Int32.of_int n)

let write_natural b n =
  if n < 0x80 then byte b n
  else if n < 0x100 then byte_and byte b 0xcc n
  else if n < 0x10000 then byte_and Buffer.add_uint16_be b 0xcd n
  else if n < 0x100000000 then byte_and add_32 b 0xce n
  else byte_and Buffer.add_int64_be b 0xcf (Int64.of_int n)

let write_int b n =
  if n >= 0 then write_natural b n
  else if n >= -0x20 then byte b n
  else if n >= -0x80 then byte_and byte b 0xd0 n
  else if n >= -0x8000 then byte_and Buffer.add_int16_be b 0xd1 n
  else if n >= -0x80000000 then byte_and add_32 b 0xd2 n
  else byte_and Buffer.add_int64_be b 0xd3 (Int64.of_int n)

let write_int64 b n =
  let small = Int64.to_int n in
  if Int64.of_int small = n then write_int b small else byte_and Buffer.add_int64_be b 0xd3 n

(* Those of array, map, str and bin: a short form for less than [few], then 8 (0: none), 16 and
   32 bits. *)
let write_size b n ~short ~few ~tag8 ~tag16 =
  if n < few then byte b (short lor n)
  else if n < 0x100 && tag8 <> 0 then byte_and byte b tag8 n
  else if n < 0x10000 then byte_and Buffer.add_uint16_be b tag16 n
  else if n < 0x100000000 then byte_and add_32 b (tag16 + 1) n
  else fail "%d elements or bytes are too many" n

let write_array b n = write_size b n ~short:0x90 ~few:16 ~tag8:0 ~tag16:0xdc
let write_map b n = write_size b n ~short:0x80 ~few:16 ~tag8:0 ~tag16:0xde

(* The lowest second byte of a sequence that begins with [first], the highest, and how many
   bytes follow; Unicode's table 3-7. *)
let sequence first =
  match first with
  | '\xc2' .. '\xdf' -> Some ('\x80', '\xbf', 1)
  | '\xe0' -> Some ('\xa0', '\xbf', 2)
  | '\xed' -> Some ('\x80', '\x9f', 2)
  | '\xe1' .. '\xef' -> Some ('\x80', '\xbf', 2)
  | '\xf0' -> Some ('\x90', '\xbf', 3)
  | '\xf4' -> Some ('\x80', '\x8f', 3)
  | '\xf1' .. '\xf3' -> Some ('\x80', '\xbf', 3)
  | _ -> None

let is_utf_8 s =
  let n = String.length s in
  let rec tail i left =
    left = 0 || (s.[i] >= '\x80' && s.[i] <= '\xbf' && tail (i + 1) (left - 1))
  in
  let after i =
    match sequence s.[i] with
    | Some (low, high, more)
      when i + more < n && s.[i + 1] >= low && s.[i + 1] <= high && tail (i + 2) (more - 1) ->
        i + more + 1
    | _ -> -1
  in
  let rec from i = i = n || from_byte i (if s.[i] < '\x80' then i + 1 else after i)
  and from_byte i next = next > i && from next in
  from 0

let write_string b s =
  let n = String.length s in
  if is_utf_8 s then write_size b n ~short:0xa0 ~few:32 ~tag8:0xd9 ~tag16:0xda
  else write_size b n ~short:0 ~few:0 ~tag8:0xc4 ~tag16:0xc5;
  Buffer.add_string b s

(* ---- reading ---- *)

type reader = { text : string; mutable at : int }

let reader text = { text; at = 0 }

let skip r n =
  let at = r.at in
  if n > String.length r.text - at then fail "the bytes end in the middle of a value";
  r.at <- at + n;
  at

let tag r = Char.code r.text.[skip r 1]
let get_8 r = Char.code r.text.[skip r 1]
let get_16 r = String.get_uint16_be r.text (skip r 2)
let get_32 r = Int32.to_int (String.get_int32_be r.text (skip r 4)) land 0xffffffff
let get_64 r = String.get_int64_be r.text (skip r 8)

let name tag =
  match tag with
  | 0xc0 -> "nil"
  | 0xc2 | 0xc3 -> "a boolean"
  | 0xca | 0xcb -> "a float"
  | 0xd9 | 0xda | 0xdb -> "a string"
  | 0xc4 | 0xc5 | 0xc6 -> "binary"
  | 0xdc | 0xdd -> "an array"
  | 0xde | 0xdf -> "a map"
  | _ when tag < 0x80 || tag >= 0xe0 || (tag >= 0xcc && tag <= 0xd3) -> "an integer"
  | _ when tag < 0x90 -> "a map"
  | _ when tag < 0xa0 -> "an array"
  | _ when tag < 0xc0 -> "a string"
  | _ -> "an extension"

let unexpected wanted tag = fail "%s where %s is expected" (name tag) wanted
let is_nil r = r.at < String.length r.text && r.text.[r.at] = '\xc0'
let read_nil r = match tag r with 0xc0 -> () | other -> unexpected "nil" other

let read_bool r =
  match tag r with 0xc2 -> false | 0xc3 -> true | other -> unexpected "a boolean" other

let signed bits n = (n lsl (Sys.int_size - bits)) asr (Sys.int_size - bits)

let unsigned_64 r =
  let n = get_64 r in
  if n < 0L then fail "the integer %Lu has more than 63 bits" n;
  n

let integer wanted r tag =
  match tag with
  | _ when tag < 0x80 -> Int64.of_int tag
  | _ when tag >= 0xe0 -> Int64.of_int (tag - 0x100)
  | 0xcc -> Int64.of_int (get_8 r)
  | 0xcd -> Int64.of_int (get_16 r)
  | 0xce -> Int64.of_int (get_32 r)
  | 0xcf -> unsigned_64 r
  | 0xd0 -> Int64.of_int (signed 8 (get_8 r))
  | 0xd1 -> Int64.of_int (signed 16 (get_16 r))
  | 0xd2 -> Int64.of_int (signed 32 (get_32 r))
  | 0xd3 -> get_64 r
  | other -> unexpected wanted other

let read_int64 r = integer "an integer" r (tag r)

let read_int r =
  let n = read_int64 r in
  let small = Int64.to_int n in
  if Int64.of_int small <> n then fail "the integer %Ld has more than 63 bits" n;
  small

let read_float r =
  match tag r with
  | 0xca -> Int32.float_of_bits (String.get_int32_be r.text (skip r 4))
  | 0xcb -> Int64.float_of_bits (get_64 r)
  | tag -> Int64.to_float (integer "a number" r tag)

let read_string r =
  let n =
    match tag r with
    | tag when tag >= 0xa0 && tag < 0xc0 -> tag land 0x1f
    | 0xd9 | 0xc4 -> get_8 r
    | 0xda | 0xc5 -> get_16 r
    | 0xdb | 0xc6 -> get_32 r
    | other -> unexpected "a string" other
  in
  let at = skip r n in
  String.sub r.text at n

(* Lua's empty table is either, so an empty one of the other kind, [empty], is read as well. *)
let read_size wanted ~short ~tag16 ~empty r =
  match tag r with
  | tag when tag = empty -> 0
  | tag when tag land 0xf0 = short -> tag land 0x0f
  | tag when tag = tag16 -> get_16 r
  | tag when tag = tag16 + 1 -> get_32 r
  | other -> unexpected wanted other

let read_array = read_size "an array" ~short:0x90 ~tag16:0xdc ~empty:0x80
let read_map = read_size "a map" ~short:0x80 ~tag16:0xde ~empty:0x90

let at_end r =
  if r.at < String.length r.text then
    fail "%d bytes stand behind the value" (String.length r.text - r.at)
