/* SPDX-License-Identifier: ISC
 *
 * path.c: opens files of a restricted state: first what a path leads to, then, when that was
 * judged, the same thing for use.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>

#include "lus/path.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#if defined(__has_include) && defined(SYS_openat2)
#if __has_include(<linux/openat2.h>)
#include <linux/openat2.h>
#endif
#endif
#endif

/* ---- what a descriptor is ------------------------------------------------------------ */

#ifdef __linux__

enum { LINK_SIZE = 32 };

static void link_of(int fd, char out[LINK_SIZE])
{
    snprintf(out, LINK_SIZE, "/proc/self/fd/%d", fd);
}

/* False: it has no path (a pipe, a socket, what was removed). */
static bool path_of(int fd, const char *path, char out[PATH_MAX])
{
    (void)path;
    char        link[LINK_SIZE];
    struct stat s;
    link_of(fd, link);
    ssize_t n = readlink(link, out, PATH_MAX - 1);
    if (n <= 0 || n == PATH_MAX - 1 || *out != '/')
        return false;
    out[n] = 0;
    static const char gone[] = " (deleted)";
    size_t            size = sizeof gone - 1;
    return (size_t)n < size || strcmp(out + n - size, gone) != 0 ||
           (fstat(fd, &s) == 0 && s.st_nlink > 0);
}

static int open_again(int fd, const char *path, int flags)
{
    (void)path;
    char link[LINK_SIZE];
    link_of(fd, link);
    return open(link, flags & ~(O_CREAT | O_NOFOLLOW));
}

static bool is_memory_device(int fd)
{
    struct stat s;
    return fstat(fd, &s) == 0 && S_ISCHR(s.st_mode) && major(s.st_rdev) == 1 &&
           (minor(s.st_rdev) == 1 || minor(s.st_rdev) == 2 || minor(s.st_rdev) == 4);
}

/* A process' memory, descriptors and environment, and the kernel's. */
static bool is_forbidden(int fd, const char *path, bool writes)
{
    enum { PROC = 0x9fa0, TMPFS = 0x01021994 }; /* devtmpfs is one */
    struct statfs s;
    if (fstatfs(fd, &s) != 0)
        return true;
    if (s.f_type == TMPFS)
        return is_memory_device(fd);
    if (s.f_type != PROC)
        return false;
    bool is_system = strncmp(path, "/proc/", 6) == 0 && !(path[6] >= '0' && path[6] <= '9');
    return !is_system || writes || strcmp(path, "/proc/kcore") == 0;
}

#else

static bool is_same(int fd, const struct stat *other)
{
    struct stat s;
    return fstat(fd, &s) == 0 && s.st_dev == other->st_dev && s.st_ino == other->st_ino;
}

/* Nothing tells where an open file is. */
static bool path_of(int fd, const char *path, char out[PATH_MAX])
{
    struct stat s;
    return realpath(path, out) && lstat(out, &s) == 0 && is_same(fd, &s);
}

static int open_again(int fd, const char *path, int flags)
{
    struct stat s;
    int         again = open(path, (flags & ~(O_CREAT | O_TRUNC)) | O_NOFOLLOW);
    if (again >= 0 && (fstat(fd, &s) != 0 || !is_same(again, &s))) {
        close(again);
        errno = ENOENT;
        return -1;
    }
    if (again >= 0 && (flags & O_TRUNC))
        (void)!ftruncate(again, 0);
    return again;
}

static bool is_forbidden(int fd, const char *path, bool writes)
{
    (void)fd, (void)writes;
    return strncmp(path, "/proc/", 6) == 0 || strcmp(path, "/dev/mem") == 0 ||
           strcmp(path, "/dev/kmem") == 0;
}

#endif

/* ---- judging --------------------------------------------------------------------------- */

/* Those of files; WL_RIGHTS: it may. */
static enum wl_right missing_right(const wl_rights *r, unsigned rights, const char *path)
{
    static const enum wl_right order[] = {WL_FS_WRITE, WL_FS_READ};
    for (int i = 0; i < 2; i++)
        if ((rights & WL_RIGHT(order[i])) && !wl_rights_have(r, order[i], path))
            return order[i];
    return WL_RIGHTS;
}

static enum wl_right first_right(unsigned rights)
{
    return rights & WL_RIGHT(WL_FS_WRITE) ? WL_FS_WRITE : WL_FS_READ;
}

static int deny(unsigned rights, enum wl_right *missing)
{
    if (*missing == WL_RIGHTS)
        *missing = first_right(rights);
    return WL_PATH_DENIED;
}

/* What is there. Takes fd. */
static int open_there(const wl_rights *r, unsigned rights, const char *path, int fd, int flags,
                      enum wl_right *missing)
{
    char where[PATH_MAX];
    bool may = path_of(fd, path, where) &&
               (*missing = missing_right(r, rights, where)) == WL_RIGHTS &&
               !is_forbidden(fd, where, rights & WL_RIGHT(WL_FS_WRITE));
    if (may && flags == WL_PATH_ONLY)
        return fd;
    int again = may ? open_again(fd, where, flags) : deny(rights, missing), error = errno;
    close(fd);
    errno = error;
    return again;
}

enum { TRIES = 16 };

/* What is not there. A link that leads nowhere is: to make it would be to make what it leads
 * to. *again: it has come meanwhile. */
static int open_new(const wl_rights *r, unsigned rights, const char *path, int flags,
                    enum wl_right *missing, bool *again)
{
    wl_entry    e;
    struct stat s;
    int         fd = -1;
    if (!wl_entry_open(path, &e))
        return deny(rights, missing);
    if ((*missing = missing_right(r, rights, e.path)) != WL_RIGHTS ||
        is_forbidden(e.folder, e.path, true)) {
        fd = deny(rights, missing);
    } else if (fstatat(e.folder, e.name, &s, AT_SYMLINK_NOFOLLOW) == 0) {
        *again = !S_ISLNK(s.st_mode);
        fd = deny(rights, missing);
    } else if (flags & O_CREAT) {
        fd = openat(e.folder, e.name, flags | O_EXCL | O_NOFOLLOW, 0666);
        *again = fd < 0 && errno == EEXIST;
    }
    int error = errno;
    wl_entry_close(&e);
    errno = error;
    return fd;
}

/* ---- beneath a kept folder ----------------------------------------------------------------- */

int wl_path_keep(const char *folder)
{
    int fd = wl_fd_above(open(folder, WL_PATH_ONLY | O_DIRECTORY));
    if (fd >= 0 && (is_forbidden(fd, folder, true) || strncmp(folder, "/dev", 4) == 0)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

#if defined(RESOLVE_BENEATH) && defined(SYS_openat2)

/* One call judges and opens. -1: it does not, for whatever reason. */
static int open_beneath(const wl_rights *r, unsigned rights, const char *path, int flags)
{
    size_t folder;
    int    at = wl_rights_kept(r, rights, path, &folder);
    if (at < 0)
        return -1;
    struct open_how how = {.flags = (uint64_t)(unsigned)flags,
                           .mode = flags & O_CREAT ? 0666 : 0,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV};
    return (int)syscall(SYS_openat2, at, path + folder + 1, &how, sizeof how);
}

#else

static int open_beneath(const wl_rights *r, unsigned rights, const char *path, int flags)
{
    (void)r, (void)rights, (void)path, (void)flags;
    return -1;
}

#endif

int wl_path_open(const wl_rights *r, unsigned rights, const char *path, int flags,
                 enum wl_right *missing)
{
    *missing = WL_RIGHTS;
    flags |= O_CLOEXEC;
    int  fd = open_beneath(r, rights, path, flags);
    bool again = fd < 0;
    for (int i = 0; again && i < TRIES; i++) {
        again = false;
        int there = wl_fd_above(open(path, WL_PATH_ONLY));
        if (there >= 0)
            fd = open_there(r, rights, path, there, flags, missing);
        else if (errno == ENOENT)
            fd = open_new(r, rights, path, flags, missing, &again);
        else
            fd = deny(rights, missing);
    }
    return fd < 0 ? fd : wl_fd_above(fd);
}

/* ---- entries ------------------------------------------------------------------------------- */

/* "a/b" -> "a", "b"; false: there is no name that stands for itself. */
static bool split(const char *path, char folder[PATH_MAX], char name[NAME_MAX + 1])
{
    const char *slash = strrchr(path, '/'), *last = slash ? slash + 1 : path;
    size_t      length = slash ? (size_t)(slash - path) : 0;
    if (!*last || strcmp(last, ".") == 0 || strcmp(last, "..") == 0 || length >= PATH_MAX ||
        strlen(last) > NAME_MAX)
        return false;
    memcpy(folder, path, length);
    strcpy(folder + length, length ? "" : slash ? "/" : ".");
    strcpy(name, last);
    return true;
}

static bool append_name(char path[PATH_MAX], const char *name)
{
    size_t n = strlen(path);
    if (n + strlen(name) + 2 > PATH_MAX)
        return false;
    sprintf(path + n, "%s%s", n == 1 ? "" : "/", name);
    return true;
}

bool wl_entry_open(const char *path, wl_entry *e)
{
    char folder[PATH_MAX];
    if (!split(path, folder, e->name))
        return false;
    e->folder = wl_fd_above(open(folder, WL_PATH_ONLY | O_DIRECTORY));
    if (e->folder < 0)
        return false;
    if (path_of(e->folder, folder, e->path) && append_name(e->path, e->name))
        return true;
    close(e->folder);
    return false;
}

void wl_entry_close(wl_entry *e) { close(e->folder); }

/* ---- patterns -------------------------------------------------------------------------------- */

/* False: the path is too long. */
static bool append_names(char path[PATH_MAX], const char *names)
{
    char name[NAME_MAX + 1];
    while (*(names += strspn(names, "/"))) {
        size_t n = strcspn(names, "/");
        if (n > NAME_MAX)
            return false;
        memcpy(name, names, n);
        name[n] = 0;
        names += n;
        char *slash = strrchr(path, '/');
        if (strcmp(name, "..") == 0)
            slash[slash == path] = 0;
        else if (strcmp(name, ".") != 0 && !append_name(path, name))
            return false;
    }
    return true;
}

/* The longest part of the path that is there, without links and dots, then what is left, without
 * dots. False: there can be no such path. */
static bool resolve(const char *path, char out[PATH_MAX])
{
    char   head[PATH_MAX];
    size_t n = strlen(path);
    if (n >= sizeof head)
        return false;
    memcpy(head, path, n + 1);
    while (n > 0 && !realpath(head, out)) {
        while (n > 0 && head[n - 1] == '/')
            n--;
        while (n > 0 && head[n - 1] != '/')
            n--;
        head[n] = 0;
    }
    return (n > 0 || realpath(".", out)) && append_names(out, path + n);
}

size_t wl_path_pattern(const char *pattern, char out[PATH_MAX])
{
    char   folder[PATH_MAX];
    size_t plain = strcspn(pattern, "*"), all = plain;
    while (pattern[all] && plain > 0 && pattern[plain - 1] != '/')
        plain--;
    const char *rest = pattern + plain;
    if (plain >= sizeof folder)
        return 0;
    snprintf(folder, sizeof folder, "%.*s", plain ? (int)plain : 1, plain ? pattern : ".");
    if (!resolve(folder, out))
        return 0;
    size_t n = strlen(out), size = strlen(rest);
    if (n + size + 2 > PATH_MAX)
        return 0;
    if (size)
        n += (size_t)sprintf(out + n, "%s%s", n == 1 ? "" : "/", rest) - size;
    return n;
}

size_t wl_path_entry_of(const char *path, char out[PATH_MAX])
{
    char folder[PATH_MAX], name[NAME_MAX + 1];
    if (!split(path, folder, name) || !resolve(folder, out) || !append_name(out, name))
        return 0;
    return strlen(out);
}
