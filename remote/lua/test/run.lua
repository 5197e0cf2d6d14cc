-- SPDX-License-Identifier: ISC
--
-- run.lua FILES: runs tests with busted, which is pure Lua, under the interpreter that runs this.
-- Run in this folder, because busted reads the .busted of the one where it runs.
package.path = "./?.lua;../../../test/lua/?.lua;" .. package.path
require "support.busted_needs"
require "busted.runner" { standalone = false, output = "plainTerminal", pattern = "" }
