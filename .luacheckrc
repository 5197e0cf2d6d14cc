-- SPDX-License-Identifier: ISC
std = "max"
max_line_length = 120
files["test/lua"] = { std = "max+busted" }
