(* SPDX-License-Identifier: ISC *)

(** How the argument and the result of a job become bytes, and what kind of bytes.

    The combinators write and read MessagePack, as the other bindings do: one array of the
    arguments, or of the results. A tuple is that array, [unit] an empty one, anything else an
    array of one. So [pair string int] as an argument is what Lua writes for
    [farm:run(name, "a.png", 200)]. Inside another value a tuple is an array of its own.

    Text is written as a string where it is valid UTF-8 and as binary elsewhere; both are read. *)

type 'a t

exception Error of string
(** The bytes, or their content type, are not what the codec takes; or a value cannot be written.
    The text says where: [result: element 2: not a string]. *)

val unit : unit t
val bool : bool t

val int : int t
(** An integer beyond 63 bits is refused. *)

val int64 : int64 t

val float : float t
(** Reads integers as well, because Lua before 5.3 and LuaJIT have no others. *)

val string : string t

val option : 'a t -> 'a option t
(** [None] is nil. At the end of the arguments or results a missing one is [None] too. *)

val list : 'a t -> 'a list t
val array : 'a t -> 'a array t

val assoc : 'a t -> (string * 'a) list t
(** A map whose keys are strings. *)

val pair : 'a t -> 'b t -> ('a * 'b) t
val triple : 'a t -> 'b t -> 'c t -> ('a * 'b * 'c) t
val quad : 'a t -> 'b t -> 'c t -> 'd t -> ('a * 'b * 'c * 'd) t

val conv : ('a -> 'b) -> ('b -> 'a) -> 'b t -> 'a t
(** [conv write read codec]. What [read] raises by [invalid_arg] or [failwith] is an {!Error} of
    the bytes. *)

val bytes : string t
(** The bytes themselves, as [application/octet-stream]: what C programs take and give unless they
    say otherwise. Only for a whole argument or result. *)

val custom : content_type:string -> encode:('a -> string) -> decode:(string -> 'a) -> 'a t
(** Any other form of bytes, for a whole argument or result. What [decode] raises by
    [invalid_arg] or [failwith] is an {!Error} of the bytes.
    @raise Invalid_argument if [content_type] is empty or longer than 255 bytes *)

val content_type : _ t -> string
(** Of the combinators: [application/vnd.msgpack]. *)

val encode : 'a t -> 'a -> string
(** @raise Error if the value cannot be written *)

val decode : 'a t -> content_type:string -> string -> 'a
(** @raise Error if the bytes are not of this type, or something stands behind them *)
