/* SPDX-License-Identifier: ISC
 *
 * c_user_stubs.c: another package's stubs, on weir.h and the core of package weir.
 */
#include <caml/alloc.h>
#include <caml/mlvalues.h>
#include <string.h>
#include <weir.h>

value c_user_version(value unit)
{
    (void)unit;
    return caml_copy_string(strcmp(weir_version(), WEIR_VERSION) ? "another" : "as in weir.h");
}
