(* SPDX-License-Identifier: ISC *)
external version : unit -> string = "c_user_version"
