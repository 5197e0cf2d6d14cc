/* SPDX-License-Identifier: ISC
 *
 * stock.c: the names that a new state of this Lua has.
 *
 * They are read off one such state, once in the process, and constant afterwards. A
 * fixed array holds them, so that nothing is left behind when the library is unloaded.
 * Without memory for the state there are none: no name is better than another then.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <lualib.h>

#include "codec/format.h"

enum { MAX_NAMES = 512, MAX_LENGTH = 24 }; /* LuaJIT has some 170, of 14 bytes at most */

typedef struct {
    char          module[MAX_LENGTH], key[MAX_LENGTH]; /* module "": of a module itself */
    lua_CFunction function; /* NULL: a table, or a function that gives no address */
} stock_name;

static stock_name stock[MAX_NAMES]; /* sorted */
static size_t     n_stock;

static int compare(const void *a, const void *b)
{
    const stock_name *x = a, *y = b;
    int               order = strcmp(x->module, y->module);
    return order ? order : strcmp(x->key, y->key);
}

/* key value -> the same. False: no string, or such a name cannot be held. */
static bool name_at_top(lua_State *L, const char *module, stock_name *name)
{
    size_t length;
    if (lua_type(L, -2) != LUA_TSTRING)
        return false;
    const char *key = lua_tolstring(L, -2, &length);
    if (length >= MAX_LENGTH || memchr(key, 0, length) || strlen(module) >= MAX_LENGTH)
        return false;
    strcpy(name->module, module);
    memcpy(name->key, key, length + 1);
    name->function = lua_tocfunction(L, -1);
    return true;
}

/* table -> the same: notes what of a type is in there */
static void note_all(lua_State *L, const char *module, int type)
{
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
        if (n_stock < MAX_NAMES && lua_type(L, -1) == type)
            n_stock += name_at_top(L, module, &stock[n_stock]);
}

static int read_off(lua_State *L)
{
    luaL_openlibs(L);
    lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
    note_all(L, "", LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
        if (lua_type(L, -2) == LUA_TSTRING && lua_istable(L, -1))
            note_all(L, lua_tostring(L, -2), LUA_TFUNCTION);
    return 0;
}

static int protect(lua_State *L)
{
#if LUA_VERSION_NUM < 502 /* making the closure may throw there */
    return lua_cpcall(L, read_off, NULL);
#else
    lua_pushcfunction(L, read_off);
    return lua_pcall(L, 0, 0, 0);
#endif
}

static void make_stock(void)
{
    lua_State *L = luaL_newstate();
    if (!L)
        return;
    if (protect(L) != 0)
        n_stock = 0;
    lua_close(L);
    qsort(stock, n_stock, sizeof *stock, compare);
}

bool wl_stock_has(lua_State *L, const char *module)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    stock_name            name;
    pthread_once(&once, make_stock);
    if (!name_at_top(L, module, &name))
        return false;
    const stock_name *found = bsearch(&name, stock, n_stock, sizeof *stock, compare);
    return found && found->function == name.function;
}
