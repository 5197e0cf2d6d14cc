/* SPDX-License-Identifier: ISC
 *
 * publish.h: lets weir-top look at this process.
 */
#pragma once

#pragma GCC visibility push(hidden)

/* Publishes it if WEIR_TOP is set, once. No lock held. */
void wi_publish_if_asked(void);

#pragma GCC visibility pop
