/* SPDX-License-Identifier: ISC
 *
 * No system but Linux has it.
 */
#error "sys/eventfd.h is Linux's"
