/* SPDX-License-Identifier: ISC
 *
 * files.c: what the functions of io and os that take a path do in a restricted state.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>

#include "lus/checks.h"
#include "lus/path.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Their addresses name io.open and io.lines in the registry, as they were made. */
static char key_open, key_lines;

void wl_files_prepare(lua_State *L)
{
    lua_getglobal(L, "io");
    if (lua_istable(L, -1)) {
        lua_getfield(L, -1, "open");
        lua_rawsetp(L, LUA_REGISTRYINDEX, &key_open);
        lua_getfield(L, -1, "lines");
        lua_rawsetp(L, LUA_REGISTRYINDEX, &key_lines);
    }
    lua_pop(L, 1);
}

static const wl_rights *rights_of(lua_State *L) { return wl_lus_of(L)->rights; }

/* -> nil, message, errno */
static int push_errno(lua_State *L, const char *path)
{
    int error = errno;
    lua_pushnil(L);
    if (path)
        lua_pushfstring(L, "%s: %s", path, strerror(error));
    else
        lua_pushstring(L, strerror(error));
    lua_pushinteger(L, error);
    return 3;
}

int wl_open_judged(lua_State *L, const char *function, unsigned rights, const char *path, int flags)
{
    enum wl_right missing;
    int           fd = wl_path_open(rights_of(L), rights, path, flags, &missing);
    if (fd == WL_PATH_DENIED)
        wl_deny(L, function, missing, path);
    return fd;
}

/* ---- files ------------------------------------------------------------------------------ */

typedef struct {
    unsigned rights;
    int      flags;
    char     mode[4]; /* without "b", which is nothing here */
} access_mode;

/* False: there is no such mode. */
static bool read_mode(const char *text, access_mode *m)
{
    bool plus = *text && strchr(text, '+');
    if (!*text || !strchr("rwa", *text) || strspn(text + 1, "+b") != strlen(text + 1) ||
        strlen(text) > 3)
        return false;
    bool reads = text[0] == 'r' || plus, writes = text[0] != 'r' || plus;
    m->rights = (reads ? WL_RIGHT(WL_FS_READ) : 0) | (writes ? WL_RIGHT(WL_FS_WRITE) : 0);
    m->flags = (reads && writes ? O_RDWR
                : writes        ? O_WRONLY
                                : O_RDONLY) |
               (text[0] == 'w' ? O_CREAT | O_TRUNC : 0) | (text[0] == 'a' ? O_CREAT | O_APPEND : 0);
    snprintf(m->mode, sizeof m->mode, "%c%s", text[0], plus ? "+" : "");
    return true;
}

/* Takes fd. NULL, and errno. */
static FILE *file_of(lua_State *L, int fd, const access_mode *m)
{
    FILE *file = fdopen(fd, m->mode);
    if (!file) {
        int error = errno;
        close(fd);
        errno = error;
        return NULL;
    }
    bool reads = m->rights & WL_RIGHT(WL_FS_READ);
    return reads && wl_lus_of(L)->actor ? wl_core->wl_stream_wrap(file, m->mode) : file;
}

#if LUA_VERSION_NUM >= 502

/* file -> as the close of one from io.open */
static int close_judged(lua_State *L)
{
    luaL_Stream *s = luaL_checkudata(L, 1, LUA_FILEHANDLE);
    return luaL_fileresult(L, fclose(s->f) == 0, NULL);
}

/* -> file, closed so far */
static luaL_Stream *push_file(lua_State *L)
{
    luaL_Stream *s = lua_newuserdata(L, sizeof *s);
    s->closef = NULL;
    luaL_setmetatable(L, LUA_FILEHANDLE);
    return s;
}

static void set_file(luaL_Stream *s, FILE *file)
{
    s->f = file;
    s->closef = close_judged;
}

#else

/* Nobody but io makes files here, and all of them begin with their FILE. So one that io.open
 * made gets another. What it opens is the root, which is always there; "re" is no mode that
 * somebody else looks for.
 *
 * -> file */
static FILE **push_file(lua_State *L)
{
    int top = lua_gettop(L);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &key_open);
    lua_pushliteral(L, "/");
    lua_pushliteral(L, "re");
    lua_call(L, 2, 1);
    if (!lua_isuserdata(L, -1))
        luaL_error(L, "io.open: too many files are open");
    lua_settop(L, top + 1);
    return lua_touserdata(L, -1);
}

static void set_file(FILE **slot, FILE *file)
{
    fclose(*slot);
    *slot = file;
}

#endif

/* path [mode] at i -> file; or, and errno, nothing */
static bool open_file(lua_State *L, const wl_guard *g, const access_mode *m, const char *path)
{
    void *slot = push_file(L);
    int   fd = wl_open_judged(L, g->place->full, m->rights, path, m->flags);
    FILE *file = fd < 0 ? NULL : file_of(L, fd, m);
    if (file)
        set_file(slot, file);
    return file != NULL;
}

int wl_opens(lua_State *L, const wl_guard *g)
{
    access_mode m;
    const char *path = luaL_checkstring(L, 1);
    luaL_argcheck(L, read_mode(luaL_optstring(L, 2, "r"), &m), 2, "invalid mode");
    return open_file(L, g, &m, path) ? 1 : push_errno(L, path);
}

/* The original sets a file, which was opened here. */
static int sets_file(lua_State *L, const wl_guard *g, const char *mode)
{
    access_mode m;
    if (!lua_isstring(L, 1))
        return -1;
    const char *path = lua_tostring(L, 1);
    read_mode(mode, &m);
    if (!open_file(L, g, &m, path))
        return luaL_error(L, "cannot open file '%s' (%s)", path, strerror(errno));
    lua_replace(L, 1);
    lua_settop(L, 1);
    return -1;
}

int wl_sets_input(lua_State *L, const wl_guard *g) { return sets_file(L, g, "r"); }
int wl_sets_output(lua_State *L, const wl_guard *g) { return sets_file(L, g, "w"); }

#ifdef __linux__
#define OF_DESCRIPTOR "/proc/self/fd/%d"
#else
#define OF_DESCRIPTOR "/dev/fd/%d"
#endif

/* message -> the same about the path */
static void name_path(lua_State *L, int fd, const char *path)
{
    const char *message = lua_tostring(L, -1);
    lua_pushfstring(L, OF_DESCRIPTOR, fd);
    luaL_gsub(L, message ? message : "", lua_tostring(L, -1), path);
}

/* The original opens what was judged, and reads it to its end. */
int wl_reads_lines(lua_State *L, const wl_guard *g)
{
    if (lua_isnoneornil(L, 1))
        return wl_uses_input(L, g);
    const char *path = luaL_checkstring(L, 1);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &key_lines);
    lua_insert(L, 2);
    lua_pushliteral(L, ""); /* room for the name */
    lua_insert(L, 3);
    int fd = wl_open_judged(L, g->place->full, WL_RIGHT(WL_FS_READ), path, WL_PATH_ONLY);
    if (fd < 0)
        return luaL_error(L, "%s: %s", path, strerror(errno));
    lua_pushfstring(L, OF_DESCRIPTOR, fd);
    lua_replace(L, 3);
    int status = lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 0);
    close(fd);
    if (status == 0)
        return lua_gettop(L) - 1;
    luaL_where(L, 1);
    lua_insert(L, -2);
    name_path(L, fd, path);
    lua_remove(L, -2);
    lua_remove(L, -2);
    lua_concat(L, 2);
    return lua_error(L);
}

/* ---- remove and rename ------------------------------------------------------------------------
 */

static void open_entry(lua_State *L, const wl_guard *g, const char *path, wl_entry *e)
{
    if (!wl_entry_open(path, e))
        wl_deny(L, g->place->full, WL_FS_WRITE, path);
}

/* Raises, and lets the other go. */
static void need_entry(lua_State *L, const wl_guard *g, enum wl_right right, const char *path,
                       wl_entry *e, wl_entry *other)
{
    if (wl_rights_have(rights_of(L), right, e->path))
        return;
    wl_entry_close(e);
    if (other)
        wl_entry_close(other);
    wl_deny(L, g->place->full, right, path);
}

static bool is_folder(const wl_entry *e)
{
    struct stat s;
    return fstatat(e->folder, e->name, &s, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(s.st_mode);
}

int wl_removes(lua_State *L, const wl_guard *g)
{
    wl_entry    e;
    const char *path = luaL_checkstring(L, 1);
    open_entry(L, g, path, &e);
    need_entry(L, g, WL_FS_WRITE, path, &e, NULL);
    int rc = unlinkat(e.folder, e.name, is_folder(&e) ? AT_REMOVEDIR : 0), error = errno;
    wl_entry_close(&e);
    errno = error;
    if (rc != 0)
        return push_errno(L, path);
    lua_pushboolean(L, true);
    return 1;
}

/* What lies in a folder moves with it, and may be judged by another rule afterwards. */
static void need_below(lua_State *L, const wl_guard *g, const char *path, wl_entry *from,
                       wl_entry *to)
{
    const wl_rights *r = rights_of(L);
    if (!is_folder(from) || (wl_rights_have_below(r, WL_FS_READ, from->path) &&
                             wl_rights_have_below(r, WL_FS_WRITE, from->path) &&
                             wl_rights_have_below(r, WL_FS_WRITE, to->path)))
        return;
    wl_entry_close(from);
    wl_entry_close(to);
    lua_pushfstring(L, "all below %s", path);
    wl_deny(L, g->place->full, WL_FS_WRITE, lua_tostring(L, -1));
}

int wl_renames(lua_State *L, const wl_guard *g)
{
    wl_entry    from, to;
    const char *path = luaL_checkstring(L, 1), *new_path = luaL_checkstring(L, 2);
    open_entry(L, g, path, &from);
    need_entry(L, g, WL_FS_READ, path, &from, NULL);
    need_entry(L, g, WL_FS_WRITE, path, &from, NULL);
    if (!wl_entry_open(new_path, &to)) {
        wl_entry_close(&from);
        wl_deny(L, g->place->full, WL_FS_WRITE, new_path);
    }
    need_entry(L, g, WL_FS_WRITE, new_path, &to, &from);
    need_below(L, g, path, &from, &to);
    int rc = renameat(from.folder, from.name, to.folder, to.name), error = errno;
    wl_entry_close(&from);
    wl_entry_close(&to);
    errno = error;
    if (rc != 0)
        return push_errno(L, LUA_VERSION_NUM < 502 ? path : NULL);
    lua_pushboolean(L, true);
    return 1;
}
