(* SPDX-License-Identifier: ISC
   Codecs. One of MessagePack knows two forms of a value: alone, and as all of the arguments or
   results of a job, which are an array. *)

exception Error = Msgpack.Error

type 'a pack = {
  write : Buffer.t -> 'a -> unit;
  read : Msgpack.reader -> 'a;
  write_all : Buffer.t -> 'a -> unit; (* with the array's header *)
  read_all : Msgpack.reader -> int -> 'a; (* of so many elements *)
}

type 'a t =
  | Pack of 'a pack
  | Other of { content_type : string; encode : 'a -> string; decode : string -> 'a }

let msgpack = "application/vnd.msgpack"
let content_type = function Pack _ -> msgpack | Other o -> o.content_type
let fail fmt = Printf.ksprintf (fun text -> raise (Error text)) fmt

let within place f x =
  try f x with Error text -> fail "%s: %s" place text

let expect n got =
  if n <> got then fail "there are %d values, and %d are expected" got n

(* ---- one value ---- *)

let one write read =
  let write_all b x =
    Msgpack.write_array b 1;
    write b x
  and read_all r n =
    expect 1 n;
    read r
  in
  Pack { write; read; write_all; read_all }

let pack who = function
  | Pack p -> p
  | Other o -> invalid_arg (Printf.sprintf "Codec.%s: bytes of %s stand alone" who o.content_type)

let bool = one Msgpack.write_bool Msgpack.read_bool
let int = one Msgpack.write_int Msgpack.read_int
let int64 = one Msgpack.write_int64 Msgpack.read_int64
let float = one Msgpack.write_float Msgpack.read_float
let string = one Msgpack.write_string Msgpack.read_string

let unit =
  let write b () = Msgpack.write_nil b and read = Msgpack.read_nil in
  let write_all b () = Msgpack.write_array b 0
  and read_all r n =
    for _ = 1 to n do
      read r
    done
  in
  Pack { write; read; write_all; read_all }

let option codec =
  let p = pack "option" codec in
  let write b = function None -> Msgpack.write_nil b | Some x -> p.write b x
  and read r =
    if Msgpack.is_nil r then begin
      Msgpack.read_nil r;
      None
    end
    else Some (p.read r)
  in
  match one write read with
  | Pack o -> Pack { o with read_all = (fun r n -> if n = 0 then None else o.read_all r n) }
  | Other _ as other -> other

let element i = Printf.sprintf "element %d" (i + 1)

(* An array that the header announces may be longer than the bytes, so it grows as it is read. *)
let read_elements read r =
  let n = Msgpack.read_array r in
  let rec go i got =
    if i = n then List.rev got else go (i + 1) (within (element i) read r :: got)
  in
  go 0 []

let list codec =
  let p = pack "list" codec in
  let write b xs =
    Msgpack.write_array b (List.length xs);
    List.iteri (fun i x -> within (element i) (p.write b) x) xs
  in
  one write (read_elements p.read)

let conv_pack back forth p =
  let read_by read r =
    let x = read r in
    try forth x with Invalid_argument text | Failure text -> raise (Error text)
  in
  Pack
    {
      write = (fun b x -> p.write b (back x));
      read = read_by p.read;
      write_all = (fun b x -> p.write_all b (back x));
      read_all = (fun r n -> read_by (fun r -> p.read_all r n) r);
    }

let conv back forth codec = conv_pack back forth (pack "conv" codec)
let array codec = conv Array.to_list Array.of_list (list codec)

let assoc codec =
  let p = pack "assoc" codec in
  let write b xs =
    Msgpack.write_map b (List.length xs);
    let entry (key, x) =
      Msgpack.write_string b key;
      within key (p.write b) x
    in
    List.iter entry xs
  and read r =
    let n = Msgpack.read_map r in
    let entry () =
      let key = within "a key" Msgpack.read_string r in
      (key, within key p.read r)
    in
    let rec go i got = if i = n then List.rev got else go (i + 1) (entry () :: got) in
    go 0 []
  in
  one write read

(* ---- tuples ---- *)

(* [n] values; [read] of a missing one at the end reads [absent]. *)
type row = { reader : Msgpack.reader; count : int; mutable next : int }

let tuple n write_each read_each =
  let write_all b x =
    Msgpack.write_array b n;
    write_each b x
  and read_all r count =
    if count > n then expect n count;
    let row = { reader = r; count; next = 0 } in
    read_each row
  in
  let read r = read_all r (Msgpack.read_array r) in
  Pack { write = write_all; read; write_all; read_all }

let absent = "\xc0"

let field p row =
  let i = row.next in
  row.next <- i + 1;
  let reader = if i < row.count then row.reader else Msgpack.reader absent in
  within (element i) p.read reader

let put i p b x = within (element i) (p.write b) x

let pair a b =
  let a = pack "pair" a and b = pack "pair" b in
  tuple 2
    (fun buffer (x, y) ->
      put 0 a buffer x;
      put 1 b buffer y)
    (fun row ->
      let x = field a row in
      (x, field b row))

let triple a b c =
  let a = pack "triple" a and b = pack "triple" b and c = pack "triple" c in
  tuple 3
    (fun buffer (x, y, z) ->
      put 0 a buffer x;
      put 1 b buffer y;
      put 2 c buffer z)
    (fun row ->
      let x = field a row in
      let y = field b row in
      (x, y, field c row))

let quad a b c d =
  let a = pack "quad" a and b = pack "quad" b and c = pack "quad" c and d = pack "quad" d in
  tuple 4
    (fun buffer (x, y, z, u) ->
      put 0 a buffer x;
      put 1 b buffer y;
      put 2 c buffer z;
      put 3 d buffer u)
    (fun row ->
      let x = field a row in
      let y = field b row in
      let z = field c row in
      (x, y, z, field d row))

(* ---- whole messages ---- *)

let custom ~content_type ~encode ~decode =
  let n = String.length content_type in
  if n = 0 || n > 255 || String.contains content_type '\000' then
    invalid_arg (Printf.sprintf "Codec.custom: content_type is %S" content_type);
  Other { content_type; encode; decode }

let bytes = custom ~content_type:"application/octet-stream" ~encode:Fun.id ~decode:Fun.id

let encode codec x =
  match codec with
  | Other o -> o.encode x
  | Pack p ->
      let b = Buffer.create 64 in
      p.write_all b x;
      Buffer.contents b

let decode_pack p text =
  let r = Msgpack.reader text in
  let x = p.read_all r (Msgpack.read_array r) in
  Msgpack.at_end r;
  x

let decode codec ~content_type:got text =
  let wanted = content_type codec in
  if got <> wanted then fail "the content type is %s, and %s is expected" got wanted;
  match codec with
  | Pack p -> decode_pack p text
  | Other o -> (
      try o.decode text with Invalid_argument text | Failure text -> raise (Error text))
