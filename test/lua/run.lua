-- SPDX-License-Identifier: ISC
--
-- run.lua [busted's options] FILES: runs tests with busted under the interpreter that
-- runs this. Busted is pure Lua; Debian keeps it where every version looks.

package.path = "test/lua/?.lua;bindings/lua/?.lua;bindings/lua/?/init.lua;" .. package.path
  .. ";/usr/share/lua/5.1/?.lua;/usr/share/lua/5.1/?/init.lua"
require "support.busted_needs"
require "busted.runner" { standalone = false, output = "plainTerminal", pattern = "" }
