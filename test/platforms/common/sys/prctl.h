/* SPDX-License-Identifier: ISC
 *
 * No system but Linux has it.
 */
#error "sys/prctl.h is Linux's"
