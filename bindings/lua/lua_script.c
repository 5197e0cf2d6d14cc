/* SPDX-License-Identifier: ISC
 *
 * lua_script.c: loads a worker's script. Its first line may be "global worker", which
 * Lus wants there and Lua before 5.5 cannot parse (5.5 would forbid every other global):
 * it is skipped, as a first line that begins with '#' is.
 */
#include "lua_actor.h"

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
static void skip_first_lines(source *s)
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
    if (declares_worker(at, line ? line : end))
        memset(at, ' ', (size_t)((line ? line : end) - at));
}

/* -> function; raises what is wrong */
void wl_script_load(lua_State *L, const char *path)
{
    source *s = source_push(L);
    FILE   *file = fopen(path, "rb");
    int     error = file ? slurp(file, s) : errno;
    if (file)
        fclose(file);
    if (error)
        luaL_error(L, "cannot open %s: %s", path, strerror(error));
    skip_first_lines(s);
    lua_pushfstring(L, "@%s", path);
    if (luaL_loadbuffer(L, s->text, s->size, lua_tostring(L, -1)) != 0)
        lua_error(L);
    lua_replace(L, -3);
    lua_pop(L, 1);
}
