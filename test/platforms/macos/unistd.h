/* SPDX-License-Identifier: ISC
 *
 * unistd.h of macOS: no pipe2.
 */
#include_next <unistd.h>
#define pipe2 macos_has_no_pipe2
