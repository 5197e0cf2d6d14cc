/* SPDX-License-Identifier: ISC
 *
 * No system but Linux has it.
 */
#error "sys/syscall.h is Linux's"
