/* SPDX-License-Identifier: ISC
 *
 * append.c: a line at the end of a file in a folder where others may write, too.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "runtime/state.h"
#include "io/io.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* NULL, or why the open file is not one that we may write to: somebody may have put a
 * link, a FIFO or a file of their own in its place. */
static const char *distrust(int fd)
{
    struct stat s;
    if (fstat(fd, &s) != 0)
        return strerror(errno);
    if (!S_ISREG(s.st_mode))
        return "not a regular file";
    if (s.st_uid != geteuid())
        return "another user's file";
    if (s.st_nlink != 1)
        return "has other names";
    return NULL;
}

static const char *write_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, bytes, size);
        if (n < 0 && errno != EINTR)
            return strerror(errno);
        if (n > 0)
            bytes += n, size -= (size_t)n;
    }
    return NULL;
}

/* path bytes -> true | nil, why. Neither follows a link nor waits for a reader. */
static int append(lua_State *L)
{
    size_t size;
    wl_need_unrestricted(L, "append");
    const char *path = luaL_checkstring(L, 1), *bytes = luaL_checklstring(L, 2, &size);
    int flags = O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    int fd = wl_fd_above(open(path, flags, 0600));
    const char *why = fd < 0 ? strerror(errno) : distrust(fd);
    if (!why)
        why = write_all(fd, bytes, size);
    if (fd >= 0)
        close(fd);
    return why ? wl_nil(L, why) : wl_boolean(L, true);
}

/* module -> module */
void wl_append_register(lua_State *L) { wl_method(L, "append", append); }
