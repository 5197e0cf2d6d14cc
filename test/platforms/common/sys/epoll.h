/* SPDX-License-Identifier: ISC
 *
 * No system but Linux has it.
 */
#error "sys/epoll.h is Linux's"
