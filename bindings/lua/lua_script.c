/* SPDX-License-Identifier: ISC
 *
 * lua_script.c: loads a worker's script. Its first line may be "global worker", which
 * Lus wants there and Lua before 5.5 cannot parse (5.5 would forbid every other global):
 * it is skipped, as a first line that begins with '#' is.
 */
#include "lua_actor.h"
#include "lua_rights.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    char  *text;
    size_t size;
} source;

/* source -> */
static int source_gc(lua_State *L)
{
    source *s = lua_touserdata(L, 1);
    free(s->text);
    s->text = NULL;
    return 0;
}

/* -> source */
static source *source_push(lua_State *L)
{
    source *s = lua_newuserdata(L, sizeof *s);
    *s = (source){0};
    lua_newtable(L);
    wl_method(L, "__gc", source_gc);
    lua_setmetatable(L, -2);
    return s;
}

/* 0, or errno's value. */
static int slurp(FILE *file, source *s)
{
    size_t capacity = 0;
    for (;;) {
        if (s->size == capacity) {
            char *more = realloc(s->text, capacity = capacity ? 2 * capacity : 4096);
            if (!more)
                return ENOMEM;
            s->text = more;
        }
        size_t n = fread(s->text + s->size, 1, capacity - s->size, file);
        s->size += n;
        if (n == 0)
            return ferror(file) ? errno : 0;
    }
}

static size_t word(const char *at, const char *end, const char *expected)
{
    const char *from = at;
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    size_t length = strlen(expected);
    if ((size_t)(end - at) < length || memcmp(at, expected, length) != 0)
        return 0;
    return (size_t)(at - from) + length;
}

/* Whether the line up to end is "global" and nothing but the name worker. */
static bool declares_worker(const char *at, const char *end)
{
    size_t first = word(at, end, "global"), second;
    if (!first || at + first == end || !isspace((unsigned char)at[first]))
        return false;
    if (!(second = word(at + first, end, "worker")))
        return false;
    for (at += first + second; at < end; at++)
        if (*at != ';' && !isspace((unsigned char)*at))
            return false;
    return true;
}

/* A line that is skipped becomes blanks, so that the others keep their numbers. */
static void skip_first_lines(source *s, bool with_declaration)
{
    char *at = s->text, *end = s->text + s->size;
    if (s->size >= 3 && memcmp(at, "\xEF\xBB\xBF", 3) == 0) {
        memset(at, ' ', 3);
        at += 3;
    }
    char *line = memchr(at, '\n', (size_t)(end - at));
    if (at < end && *at == '#') {
        memset(at, ' ', (size_t)((line ? line : end) - at));
        at = line ? line + 1 : end;
        line = memchr(at, '\n', (size_t)(end - at));
    }
    if (with_declaration && declares_worker(at, line ? line : end))
        memset(at, ' ', (size_t)((line ? line : end) - at));
}

static bool is_text(const source *s, size_t at) { return at == s->size || s->text[at] != LUA_SIGNATURE[0]; }

/* source -> function, or message */
static int load(lua_State *L, const source *s, const char *name, bool text_only)
{
    size_t at = 0;
    while (at < s->size && isspace((unsigned char)s->text[at])) /* what was skipped */
        at++;
    if (text_only && (!is_text(s, 0) || !is_text(s, at))) {
        lua_pushfstring(L, "%s: attempt to load a binary chunk", name + (*name == '@' || *name == '='));
        return LUA_ERRSYNTAX;
    }
    return luaL_loadbuffer(L, s->text, s->size, name);
}

static int read_file(const char *path, source *s)
{
    FILE *file = fopen(path, "rb");
    int   error = file ? slurp(file, s) : errno;
    if (file)
        fclose(file);
    return error;
}

void wl_script_load(lua_State *L, const char *path, const char *name, bool text_only)
{
    source *s = source_push(L);
    int     error = read_file(path, s);
    if (error)
        luaL_error(L, "cannot open %s: %s", name, strerror(error));
    skip_first_lines(s, true);
    lua_pushfstring(L, "@%s", name);
    if (load(L, s, lua_tostring(L, -1), text_only) != 0)
        lua_error(L);
    lua_replace(L, -3);
    lua_pop(L, 1);
}

int wl_text_load_file(lua_State *L, const char *path)
{
    int     top = lua_gettop(L);
    source *s = source_push(L);
    int     error = read_file(path, s), status = LUA_ERRSYNTAX;
    if (error) {
        lua_pushfstring(L, "cannot open %s: %s", path, strerror(error));
    } else {
        skip_first_lines(s, false);
        lua_pushfstring(L, "@%s", path);
        status = load(L, s, lua_tostring(L, -1), true);
    }
    lua_replace(L, top + 1);
    lua_settop(L, top + 1);
    return status;
}

int wl_text_load(lua_State *L, const char *name)
{
    source s;
    s.text = (char *)(uintptr_t)lua_tolstring(L, -1, &s.size);
    int status = load(L, &s, name, true);
    lua_remove(L, -2);
    return status;
}
