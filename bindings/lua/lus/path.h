/* SPDX-License-Identifier: ISC
 *
 * path.h: files of a restricted state: judged by what they are when they are used.
 *
 * A path is text; between its judgement and its use somebody may put something else there.
 * So what a path leads to is opened first, without reading, writing, creating or waiting for
 * anything (O_PATH). The kernel tells where that is, that is judged, and it alone is opened
 * anew. What is not there is judged by its folder and its name, and made in that very folder.
 *
 * No right reaches what is a process' memory or amounts to it: /proc/PID and its like, kcore,
 * /dev/mem. Of /proc the rest can be read.
 */
#pragma once

#include "lus/rights.h"

#pragma GCC visibility push(hidden)

enum { WL_PATH_DENIED = -2 };

#define WL_RIGHT(right) (1u << (right))

/* A descriptor, opened with flags, or of what was judged alone (WL_PATH_ONLY); -1 and errno; or
 * WL_PATH_DENIED: *missing is the right that the state does not have. Never below 3. */
int wl_path_open(const wl_rights *r, unsigned rights, const char *path, int flags,
                 enum wl_right *missing);

/* What a path names itself, not where a link leads to. */
typedef struct {
    int  folder; /* its descriptor */
    char path[PATH_MAX];
    char name[NAME_MAX + 1];
} wl_entry;

bool wl_entry_open(const char *path, wl_entry *e); /* false: it has no folder, or no name */
void wl_entry_close(wl_entry *e);

/* A pledge's pattern, in which "*" alone is special, with a folder that has no links and dots:
 * as far as it is there, the rest stays as it is. Returns how much of it is literal; 0: there can
 * be no such path. Of what is a link itself: wl_path_entry_of, the same. */
size_t wl_path_pattern(const char *pattern, char out[PATH_MAX]);
size_t wl_path_entry_of(const char *path, char out[PATH_MAX]);

/* A descriptor of a folder to be kept, see wl_rights_add; -1: none. */
int wl_path_keep(const char *folder);

#ifdef O_PATH
#define WL_PATH_ONLY (O_PATH | O_CLOEXEC)
#else
#define WL_PATH_ONLY (O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
#endif

#pragma GCC visibility pop
