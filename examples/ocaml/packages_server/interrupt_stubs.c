/* SPDX-License-Identifier: ISC
 *
 * interrupt_stubs.c: what the sqlite3 library for OCaml does not offer (up to 5.4).
 */
#include <caml/mlvalues.h>
#include <sqlite3.h>

/* A db of that library is a custom block with a pointer to a struct whose first field is
 * the connection.
 *
 * db -> unit. Any thread, while the db is open. */
value interrupt_db(value db)
{
    sqlite3 ***connection = (sqlite3 ***)Data_custom_val(db);
    sqlite3_interrupt(**connection);
    return Val_unit;
}
