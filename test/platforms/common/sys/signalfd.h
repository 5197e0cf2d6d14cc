/* SPDX-License-Identifier: ISC
 *
 * No system but Linux has it.
 */
#error "sys/signalfd.h is Linux's"
