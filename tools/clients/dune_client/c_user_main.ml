(* SPDX-License-Identifier: ISC *)
let () = if C_user.version () <> "as in weir.h" then exit 1
