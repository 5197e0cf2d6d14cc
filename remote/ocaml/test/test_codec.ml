(* SPDX-License-Identifier: ISC
   Codecs: what they write is read again, and what they must not read they refuse. *)

module C = Weir_remote.Codec

let msgpack = "application/vnd.msgpack"
let decode codec bytes = C.decode codec ~content_type:msgpack bytes

let refuses name codec bytes =
  match decode codec bytes with
  | _ -> Alcotest.failf "%s: %S was read" name bytes
  | exception C.Error _ -> ()

let round name codec values () =
  let check x =
    if compare (decode codec (C.encode codec x)) x <> 0 then Alcotest.failf "%s: differs" name
  in
  List.iter check values

let ints =
  let near n = [ n - 1; n; n + 1 ] in
  let powers = List.init 61 (fun i -> 1 lsl i) in
  [ min_int; max_int; 0 ]
  @ List.concat_map near powers
  @ List.concat_map (fun n -> near (-n)) powers

let texts =
  let sizes = [ 0; 1; 31; 32; 255; 256; 65535; 65536; 5_000_000 ] in
  [ "\xff\x00"; "\xc3\xa9"; "\xed\xa0\x80"; "\xf4\x8f\xbf\xbf"; "\xc3" ]
  @ List.map (fun n -> String.make n 'x') sizes
  @ List.map (fun n -> String.make n '\xff') sizes
  @ List.map (fun n -> String.concat "" (List.init n (fun _ -> "\xc3\xa9"))) sizes

(* Bytes that the specification gives: https://github.com/msgpack/msgpack/blob/master/spec.md *)
let the_bytes_are_those_of_the_specification () =
  let is name codec x bytes = Alcotest.(check string) name bytes (C.encode codec x) in
  is "unit" C.unit () "\x90";
  is "one" C.int 200 "\x91\xcc\xc8";
  is "negative" C.int (-33) "\x91\xd0\xdf";
  is "a pair" C.(pair string int) ("a.png", 1) "\x92\xa5a.png\x01";
  is "a pair inside" C.(list (pair bool int)) [ (true, -1) ] "\x91\x91\x92\xc3\xff";
  is "nil" C.(option int) None "\x91\xc0";
  is "float" C.float 1.5 "\x91\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00";
  is "map" C.(assoc int) [ ("a", 1) ] "\x91\x81\xa1a\x01";
  is "not UTF-8" C.string "\xff" "\x91\xc4\x01\xff"

let other_writers_may_choose_other_forms () =
  let reads name codec bytes x = if decode codec bytes <> x then Alcotest.fail name in
  reads "uint64" C.int "\x91\xcf\x00\x00\x00\x00\x00\x00\x00\x07" 7;
  reads "int64" C.int "\x91\xd3\xff\xff\xff\xff\xff\xff\xff\xff" (-1);
  reads "int32" C.int "\x91\xd2\xff\xff\xff\xfe" (-2);
  reads "an integer for a float" C.float "\x91\x02" 2.;
  reads "float32" C.float "\x91\xca\x3f\xc0\x00\x00" 1.5;
  reads "str32" C.string "\x91\xdb\x00\x00\x00\x01a" "a";
  reads "array32" C.(list int) "\xdd\x00\x00\x00\x01\xdd\x00\x00\x00\x01\x05" [ 5 ];
  reads "an empty table of Lua's for a map" C.(assoc int) "\x91\x90" [];
  reads "nothing for unit" C.unit "\x90" ();
  reads "nil for unit" C.unit "\x91\xc0" ();
  reads "missing options" C.(pair int (option int)) "\x91\x01" (1, None);
  reads "no value for an option" C.(option int) "\x90" None

let what_does_not_fit_is_refused () =
  refuses "empty" C.int "";
  refuses "no array" C.int "\x01";
  refuses "too many" C.int "\x92\x01\x02";
  refuses "too few" C.(pair int int) "\x91\x01";
  refuses "another type" C.int "\x91\xa1a";
  refuses "a float for an integer" C.int "\x91\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00";
  refuses "64 bits" C.int "\x91\xcf\x7f\xff\xff\xff\xff\xff\xff\xff";
  refuses "65 bits" C.int64 "\x91\xcf\xff\xff\xff\xff\xff\xff\xff\xff";
  refuses "bytes behind" C.int "\x91\x01\x01";
  refuses "an extension" C.string "\x91\xd4\x01\x01";
  refuses "a value for unit" C.unit "\x91\x01";
  refuses "a size that lies" C.string "\x91\xdb\xff\xff\xff\xff";
  refuses "a count that lies" C.(list unit) "\x91\xdd\xff\xff\xff\xff";
  match C.decode C.int ~content_type:"text/plain" "\x91\x01" with
  | _ -> Alcotest.fail "another content type was read"
  | exception C.Error text ->
      Alcotest.(check string)
        "says what" "the content type is text/plain, and application/vnd.msgpack is expected" text

let the_error_names_the_place () =
  match decode C.(pair string (list int)) "\x92\xa1a\x92\x01\xa1b" with
  | _ -> Alcotest.fail "was read"
  | exception C.Error text ->
      Alcotest.(check string)
        "place" "element 2: element 2: a string where an integer is expected" text

let cut_short_anywhere_is_refused () =
  let codec = C.(quad string (list float) (assoc (option int)) bool) in
  let map = [ ("k", Some 70000); ("n", None) ] in
  let whole = C.encode codec (String.make 40 'a', [ 1.; 2. ], map, true) in
  for n = 0 to String.length whole - 1 do
    match decode codec (String.sub whole 0 n) with
    | _ -> Alcotest.failf "%d of %d bytes were read" n (String.length whole)
    | exception C.Error _ -> ()
  done

(* Whatever comes: a value or Error, and in time that its length allows. *)
let random_bytes_do_no_harm () =
  let codec = C.(quad string (list (list int)) (assoc (option float)) (pair unit bool)) in
  let whole = C.encode codec ("text", [ [ 1 ]; [] ], [ ("k", Some 1.) ], ((), false)) in
  let seed = try int_of_string (Sys.getenv "WEIR_SEED") with _ -> Unix.getpid () in
  Printf.printf "WEIR_SEED=%d\n" seed;
  Random.init seed;
  for _ = 1 to 20_000 do
    let bytes = Bytes.of_string whole in
    for _ = 0 to Random.int 3 do
      Bytes.set bytes (Random.int (Bytes.length bytes)) (Char.chr (Random.int 256))
    done;
    match decode codec (Bytes.to_string bytes) with _ -> () | exception C.Error _ -> ()
  done

let conversions_and_other_bytes () =
  let half n = if n mod 2 = 0 then n / 2 else failwith "odd" in
  let even = C.(conv (fun n -> n * 2) half int) in
  round "conv" even [ 3 ] ();
  refuses "what the reader refuses" even "\x91\x01";
  Alcotest.(check string) "bytes" "x\000y" (C.encode C.bytes "x\000y");
  Alcotest.(check string) "their type" "application/octet-stream" (C.content_type C.bytes);
  (match C.list C.bytes with
  | _ -> Alcotest.fail "bytes inside a list"
  | exception Invalid_argument _ -> ());
  match C.custom ~content_type:"" ~encode:Fun.id ~decode:Fun.id with
  | _ -> Alcotest.fail "no content type"
  | exception Invalid_argument _ -> ()

let upto n = List.init n Fun.id
let entries n = List.init n (fun i -> (string_of_int i, true))
let options = [ None; Some [ None; Some 1 ] ]
let triples = [ (1, ((), true), "x") ]
let test name f = Alcotest.test_case name `Quick f

let () =
  Alcotest.run "codec"
    [
      ( "round trips",
        [
          test "integers" (round "int" C.int ints);
          test "64 bits" (round "int64" C.int64 [ Int64.min_int; Int64.max_int; 0L ]);
          test "floats" (round "float" C.float [ 0.; -0.; 1e300; nan; infinity ]);
          test "texts" (round "string" C.string texts);
          test "lists" (round "list" C.(list int) (List.map upto [ 0; 15; 16; 70_000 ]));
          test "maps" (round "assoc" C.(assoc bool) (List.map entries [ 0; 15; 16 ]));
          test "options" (round "option" C.(option (list (option int))) options);
          test "arrays" (round "array" C.(array string) [ [||]; [| "a" |] ]);
          test "triples" (round "triple" C.(triple int (pair unit bool) string) triples);
        ] );
      ( "the form",
        [
          test "the bytes are those of the specification" the_bytes_are_those_of_the_specification;
          test "other writers may choose other forms" other_writers_may_choose_other_forms;
          test "what does not fit is refused" what_does_not_fit_is_refused;
          test "the error names the place" the_error_names_the_place;
          test "cut short anywhere it is refused" cut_short_anywhere_is_refused;
          test "random bytes do no harm" random_bytes_do_no_harm;
          test "conversions, and other bytes" conversions_and_other_bytes;
        ] );
    ]
