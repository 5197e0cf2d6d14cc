/* SPDX-License-Identifier: ISC
 *
 * options: a farm's options, checked, with the defaults filled in.
 */
#ifndef WR_OPTIONS_H
#define WR_OPTIONS_H

#include "url.h"
#include "weir_remote.h"

/* Fills *out and *url, whose user and password are then those of the credentials file if one
 * is given. Returns 0 or an error of weir_remote_open, with its sentence. After an error too
 * *out and *url are to be cleared. */
int  wr_options_read(weir_remote_options *out, wr_url *url, const weir_remote_options *in);
void wr_options_clear(weir_remote_options *options);

#endif
