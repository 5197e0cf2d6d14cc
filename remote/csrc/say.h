/* SPDX-License-Identifier: ISC
 *
 * say: the sentence of a thread's last failed call, names, ids.
 */
#ifndef WR_SAY_H
#define WR_SAY_H

#include "weir.h"

#include <stdbool.h>

enum { WR_SENTENCE = 512, WR_ID = 37 };

/* Keeps the sentence for weir_remote_error, cut at WR_SENTENCE - 1 bytes; returns code. */
int wr_fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* 1 to 200 of [A-Za-z0-9._-]: it becomes part of a queue's name. */
bool wr_is_name(const char *name);

/* Of a level's queue: "", ".high" or ".low". */
const char *wr_suffix(weir_priority level);

/* A fresh random UUID (version 4). Returns 0 or WEIR_EAGAIN. */
int wr_make_id(char id[WR_ID]);

#endif
