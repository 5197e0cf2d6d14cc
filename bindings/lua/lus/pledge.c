/* SPDX-License-Identifier: ISC
 *
 * pledge.c: pledge(name...): gives up rights.
 *
 * A name is a right (fs, fs:read, fs:write, load, exec, env, network, stdio, locale, exit), all, or
 * seal; "~" before it gives it up, "=pattern" behind fs:read, fs:write and env is a part of it.
 * What a call names without "~" is all that the state keeps of what it had; so a call can only take
 * away. "vouch=NAME" says that a C module that was loaded before may stay.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>

#include "lus/path.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *name;
    unsigned    rights;             /* bits by enum wl_right */
    bool        has_value, is_part; /* it takes a pattern; it is less than its right */
} word;

#define BIT(right) (1u << (right))

static const word words[] = {
    {"fs", BIT(WL_FS_READ) | BIT(WL_FS_WRITE), true, false},
    {"fs:read", BIT(WL_FS_READ), true, false},
    {"fs:write", BIT(WL_FS_WRITE), true, false},
    {"load", BIT(WL_LOAD), false, false},
    {"exec", BIT(WL_EXEC), false, false},
    {"env", BIT(WL_ENV), true, false},
    {"network", BIT(WL_NETWORK), false, false},
    {"network:tcp", BIT(WL_NETWORK), true, true},
    {"network:udp", BIT(WL_NETWORK), true, true},
    {"network:http", BIT(WL_NETWORK), true, true},
    {"stdio", BIT(WL_STDIO), false, false},
    {"locale", BIT(WL_LOCALE), false, false},
    {"exit", BIT(WL_EXIT), false, false},
    {"all", BIT(WL_RIGHTS) - 1, false, false},
    {"seal", 0, false, false},
    {"vouch", 0, true, true}, /* for foreign code that is in the state, by its name */
};

/* One argument. */
typedef struct {
    const word *word;
    bool        rejects;
    const char *value; /* NULL: none */
    size_t      literal;
    char        pattern[PATH_MAX];
    char        entry[PATH_MAX]; /* of a path without "*": what it names itself; "": no path */
} ask;

static int invalid(lua_State *L, int i, const char *why)
{
    return luaL_error(L, "pledge: argument %d must be a permission, got \"%s\"%s", i,
                      lua_tostring(L, i), why);
}

static bool is_vouch(const word *w) { return w->rights == 0 && w->has_value; }

static void parse(lua_State *L, int i, ask *a)
{
    if (lua_type(L, i) != LUA_TSTRING)
        luaL_error(L, "pledge: argument %d must be a permission (a string), got %s", i,
                   luaL_typename(L, i));
    const char *name = lua_tostring(L, i);
    if (strlen(name) != lua_rawlen(L, i))
        invalid(L, i, ", which has a zero byte");
    a->rejects = *name == '~';
    name += a->rejects;
    a->value = strchr(name, '=');
    a->literal = 0;
    *a->entry = 0;
    size_t length = a->value ? (size_t)(a->value++ - name) : strlen(name);
    a->word = NULL;
    for (size_t k = 0; k < sizeof words / sizeof *words; k++)
        if (strlen(words[k].name) == length && memcmp(words[k].name, name, length) == 0)
            a->word = &words[k];
    if (!a->word || (a->value && (!a->word->has_value || !*a->value)) ||
        (is_vouch(a->word) && !a->value))
        invalid(L, i, "");
    if (a->word->rights == BIT(WL_RIGHTS) - 1 && !a->rejects)
        invalid(L, i, ": a script cannot ask for it");
    if (a->word->rights == 0 && a->rejects)
        invalid(L, i, "");
    if (a->value && a->word->rights != BIT(WL_ENV) && !a->word->is_part) {
        bool is_path = !strchr(a->value, '*');
        if (!is_path || !wl_path_entry_of(a->value, a->entry))
            *a->entry = 0;
        if (!(a->literal = wl_path_pattern(a->value, a->pattern)))
            invalid(L, i, ", which is no path");
        a->value = a->pattern;
    }
}

/* Whether the state holds what is asked for. A part of the network is not: it is held
 * whole or not at all, and nothing here could hold a program to a part. */
static bool has(const wl_rights *r, const ask *a)
{
    bool all = !a->word->is_part;
    for (int right = 0; right < WL_RIGHTS; right++)
        if (a->word->rights & BIT(right))
            all &= wl_rights_have(r, (enum wl_right)right, a->value);
    return all;
}

/* Of a link both are given up: the link, and what it leads to. */
static bool add_pattern(wl_rights *r, enum wl_right right, wl_extent extent, const char *pattern,
                        const ask *a)
{
    bool ok = wl_rights_add(r, right, extent, pattern, a->literal);
    if (extent == WL_BUT && *a->entry && strcmp(a->entry, pattern) != 0)
        ok &= wl_rights_add(r, right, extent, a->entry, strlen(a->entry));
    return ok;
}

static bool apply(wl_rights *r, const ask *a)
{
    bool        ok = true;
    wl_extent   extent = a->rejects ? WL_NONE : WL_ANY;
    const char *pattern = a->word->is_part ? NULL : a->value;
    if (a->word->is_part && !a->rejects)
        return true;
    if (pattern)
        extent = a->rejects ? WL_BUT : WL_ONLY;
    for (int right = 0; right < WL_RIGHTS; right++)
        if (a->word->rights & BIT(right))
            ok &= add_pattern(r, (enum wl_right)right, extent, pattern, a);
    return ok;
}

/* A layer of what is kept, where something is; above it one of what is given up. NULL: no
 * memory. */
static wl_rights *narrow(lua_State *L, wl_rights *old, ask *a, int n)
{
    bool keeps = false, ok = true;
    for (int i = 1; i <= n; i++) {
        parse(L, i, a);
        keeps |= !a->rejects && a->word->rights;
    }
    wl_rights *kept = wl_rights_new(old, keeps ? WL_NONE : WL_ANY);
    wl_rights *top = kept ? wl_rights_new(kept, WL_ANY) : NULL;
    wl_rights_unref(kept);
    for (int i = 1; top && i <= n; i++) {
        parse(L, i, a); /* did not raise before */
        ok &= apply(a->rejects ? top : kept, a);
    }
    for (int right = WL_FS_READ; top && right <= WL_FS_WRITE; right++)
        wl_rights_keep(kept, (enum wl_right)right, wl_path_keep);
    if (top && ok)
        return top;
    wl_rights_unref(top);
    return NULL;
}

/* Rights bind the functions of Lua's library. What C code does that was loaded beside it, they
 * cannot bind. */
static void refuse_foreign(lua_State *L, ask *a, int n)
{
    wl_foreign_empty(L);
    for (int i = 1; i <= n; i++) {
        parse(L, i, a);
        if (is_vouch(a->word))
            wl_foreign_vouch(L, a->value);
    }
    wl_foreign_push(L);
    const char *name = lua_tostring(L, -1);
    if (name)
        luaL_error(L,
                   "pledge: module \"%s\" is foreign code, which permissions do not bind "
                   "(\"vouch=%s\" lets it stay)",
                   name, name);
    lua_pop(L, 1);
}

/* names... -> a boolean for each */
static int pledge(lua_State *L)
{
    wl_lus *s = wl_lus_of(L);
    int     n = lua_gettop(L);
    ask    *a = lua_newuserdata(L, sizeof *a);
    bool    sealed = s->sealed;
    luaL_checkstack(L, n + 2, "too many permissions");
    for (int i = 1; i <= n; i++) {
        parse(L, i, a);
        lua_pushboolean(L, !sealed && (a->rejects || !a->word->rights || has(s->rights, a)));
    }
    if (sealed || n == 0)
        return n;
    if (!s->rights)
        refuse_foreign(L, a, n);
    wl_rights *narrower = narrow(L, s->rights, a, n);
    if (!narrower)
        return luaL_error(L, "pledge: not enough memory");
    wl_rights_unref(s->rights);
    wl_lus_restrict(L, narrower);
    for (int i = 1; i <= n; i++) {
        parse(L, i, a);
        s->sealed |= a->word->rights == 0 && !is_vouch(a->word);
    }
    return n;
}

/* -> pledge */
void wl_pledge_push(lua_State *L)
{
    lua_newtable(L);
    wl_function(L, "pledge", pledge);
    lua_getfield(L, -1, "pledge");
    lua_remove(L, -2);
}
