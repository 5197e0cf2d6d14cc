/* SPDX-License-Identifier: ISC
 *
 * script.c: loads a worker's script. Its first line may be "global worker", also with
 * other names, which Lus wants there and Lua before 5.5 cannot parse (5.5 would forbid
 * every other global): it is skipped, as a first line that begins with '#' is.
 */
#include "lus/script.h"
#include "runtime/util.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* On the C stack: what is allocated among a thousand states that are being made would
 * leave as many holes. Nothing that raises is called while it owns memory. */
typedef struct {
    char  *text; /* small, or owned */
    size_t size, capacity;
    char   small[8192];
} source;

static void drop(source *s)
{
    if (s->text != s->small)
        free(s->text);
}

static bool make_room(source *s)
{
    char *more = malloc(2 * s->capacity);
    if (!more)
        return false;
    memcpy(more, s->text, s->size);
    drop(s);
    s->text = more;
    s->capacity *= 2;
    return true;
}

/* 0, or errno's value. */
static int slurp(int fd, source *s)
{
    for (;;) {
        if (s->size == s->capacity && !make_room(s))
            return ENOMEM;
        ssize_t n = read(fd, s->text + s->size, s->capacity - s->size);
        if (n == 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return errno;
        s->size += n > 0 ? (size_t)n : 0;
    }
}

/* Takes fd; one below 0 is an error that errno tells. */
static int read_file(int fd, source *s)
{
    s->text = s->small;
    s->size = 0;
    s->capacity = sizeof s->small;
    if (fd < 0)
        return errno;
    int error = slurp(fd, s);
    close(fd);
    return error;
}

static const char *skip_blanks(const char *at, const char *end)
{
    while (at < end && isspace((unsigned char)*at))
        at++;
    return at;
}

static const char *skip_name(const char *at, const char *end)
{
    while (at < end && (isalnum((unsigned char)*at) || *at == '_'))
        at++;
    return at;
}

static bool is(const char *at, const char *end, const char *word)
{
    return (size_t)(end - at) == strlen(word) && memcmp(at, word, (size_t)(end - at)) == 0;
}

/* Whether the line up to end is "global" and names, of which one is worker. */
static bool declares_worker(const char *at, const char *end)
{
    bool        found = false;
    const char *after = skip_name(at = skip_blanks(at, end), end);
    if (!is(at, after, "global"))
        return false;
    do {
        at = skip_blanks(after + (after < end), end);
        after = skip_name(at, end);
        if (after == at)
            return false;
        found |= is(at, after, "worker");
        after = skip_blanks(after, end);
    } while (after < end && *after == ',');
    return found && skip_blanks(after + (after < end && *after == ';'), end) == end;
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

static bool is_text(const source *s, size_t at)
{
    return at == s->size || s->text[at] != LUA_SIGNATURE[0];
}

/* -> function, or message */
static int load(lua_State *L, const source *s, const char *name, bool text_only)
{
    size_t at = 0;
    while (at < s->size && isspace((unsigned char)s->text[at])) /* what was skipped */
        at++;
    if (text_only && (!is_text(s, 0) || !is_text(s, at))) {
        lua_pushliteral(L, "attempt to load a binary chunk");
        return LUA_ERRSYNTAX;
    }
    return luaL_loadbuffer(L, s->text, s->size, name);
}

/* "@name" -> function, or message */
static int load_file(lua_State *L, int fd, bool with_declaration, bool text_only)
{
    source      s;
    const char *name = lua_tostring(L, -1);
    int         status = LUA_ERRSYNTAX, error = read_file(fd, &s);
    if (error == 0) {
        skip_first_lines(&s, with_declaration);
        status = load(L, &s, name, text_only);
    }
    drop(&s);
    if (error)
        lua_pushfstring(L, "cannot open %s: %s", name + 1, strerror(error));
    lua_remove(L, -2);
    return status;
}

void wl_script_load(lua_State *L, int fd, const char *name, bool text_only)
{
    int error = errno;
    lua_pushfstring(L, "@%s", name);
    errno = error;
    if (load_file(L, fd, true, text_only) != 0)
        lua_error(L);
}

int wl_text_load_file(lua_State *L, int fd, const char *path)
{
    int error = errno;
    lua_pushfstring(L, "@%s", path);
    errno = error;
    return load_file(L, fd, false, true);
}

int wl_text_load(lua_State *L, const char *name)
{
    source s;
    s.text = (char *)(uintptr_t)lua_tolstring(L, -1, &s.size);
    int status = load(L, &s, name, true);
    lua_remove(L, -2);
    return status;
}
