/* SPDX-License-Identifier: ISC
 *
 * sys/_types.h: what the compiler's stddef.h asks for on FreeBSD.
 */
