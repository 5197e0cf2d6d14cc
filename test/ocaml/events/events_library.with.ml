(* SPDX-License-Identifier: ISC *)
