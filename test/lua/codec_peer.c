/* SPDX-License-Identifier: ISC
 *
 * codec_peer.c: the codec between two states of one process, for test_codec.lua.
 *
 * Linked with --wrap for malloc, calloc, realloc and free: counts what the codec
 * holds, and fails its n-th allocation. The states made here count theirs alike.
 */
#include <lualib.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "codec/format.h"
#include "codec_peer.h"

#if LUA_VERSION_NUM >= 505
#define new_state(alloc, data) lua_newstate(alloc, data, 1)
#else
#define new_state(alloc, data) lua_newstate(alloc, data)
#endif

/* ---- memory ------------------------------------------------------------------- */

static _Atomic long left = -1; /* allocations before all fail; negative: never */

static bool memory_refused(void)
{
    long before = left;
    left -= before > 0;
    return before == 0;
}

#define GIVEN(f) __wrap_##f
#define REAL(f) __real_##f
#include "../c/counted.h"

/* -> blocks that the codec holds */
static int peer_alive(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)live);
    return 1;
}

/* n or nothing ->: after n more the codec's allocations fail */
static int peer_fail_after(lua_State *L)
{
    left = (long)luaL_optnumber(L, 1, -1);
    return 0;
}

/* ---- messages ------------------------------------------------------------------ */

static wl_message **message_at(lua_State *L, int i) { return luaL_checkudata(L, i, "message"); }

static wl_message **new_message(lua_State *L)
{
    wl_message **m = lua_newuserdata(L, sizeof *m);
    *m = NULL;
    luaL_getmetatable(L, "message");
    lua_setmetatable(L, -2);
    return m;
}

/* message -> */
static int message_gc(lua_State *L)
{
    wl_message **m = message_at(L, 1);
    wl_message_free(*m);
    *m = NULL;
    return 0;
}

/* message -> its bytes */
static int message_bytes(lua_State *L)
{
    wl_message *m = *message_at(L, 1);
    lua_pushlstring(L, (const char *)m->bytes, m->size);
    return 1;
}

/* message i byte -> the one that stood there, counted from 1 */
static int message_poke(lua_State *L)
{
    wl_message *m = *message_at(L, 1);
    size_t      i = (size_t)luaL_checkinteger(L, 2) - 1;
    luaL_argcheck(L, i < m->size, 2, "no such byte");
    lua_pushinteger(L, m->bytes[i]);
    m->bytes[i] = (unsigned char)luaL_checkinteger(L, 3);
    return 1;
}

/* message size ->: its bytes end there */
static int message_cut(lua_State *L)
{
    wl_message *m = *message_at(L, 1);
    size_t      size = (size_t)luaL_checkinteger(L, 2);
    luaL_argcheck(L, size <= m->capacity, 2, "too long");
    m->size = size;
    return 0;
}

static int field(lua_State *L, const char *name)
{
    lua_getfield(L, 1, name);
    return lua_type(L, -1);
}

/* options at 1 */
static wl_pack_options options_at_1(lua_State *L)
{
    wl_pack_options o = {.what = "argument", .number = 1};
    if (lua_isnoneornil(L, 1))
        return o;
    if (field(L, "what") == LUA_TSTRING)
        o.what = lua_tostring(L, -1);
    if (field(L, "number") == LUA_TNUMBER)
        o.number = (int)lua_tointeger(L, -1);
    if (field(L, "metatables") == LUA_TNUMBER)
        o.metatables = (wl_metatables)lua_tointeger(L, -1);
    if (field(L, "strip") == LUA_TBOOLEAN)
        o.strip = lua_toboolean(L, -1);
    lua_pop(L, 4);
    field(L, "globals");
    lua_insert(L, 2);
    return o;
}

/* The table at index, if it is one, takes the place of the globals. */
static void use_globals(lua_State *L, int index)
{
    if (!lua_istable(L, index))
        return;
    lua_pushvalue(L, index);
    wl_globals_use(L);
}

/* options values... -> message, or nil error */
static int peer_pack(lua_State *L)
{
    if (lua_isnoneornil(L, 1)) {
        lua_pushnil(L);
        lua_insert(L, lua_gettop(L) > 1 ? 2 : 1);
    }
    wl_pack_options o = options_at_1(L);
    if (lua_gettop(L) < 2)
        lua_settop(L, 2);
    wl_message **m = new_message(L);
    lua_replace(L, 1);
    use_globals(L, 2);
    int status = wl_pack(L, 3, lua_gettop(L) - 2, &o, m);
    wl_globals_go_home(L);
    if (status == 0) {
        lua_settop(L, 1);
        return 1;
    }
    lua_pushnil(L);
    lua_insert(L, -2);
    return 2;
}

/* message globals -> true values..., or nil error */
static int peer_unpack(lua_State *L)
{
    wl_message *m = *message_at(L, 1);
    lua_settop(L, 2);
    lua_pushboolean(L, 1);
    use_globals(L, 2);
    int n = wl_unpack(L, m);
    luaL_checkstack(L, 4, NULL); /* the values may have left none */
    wl_globals_go_home(L);
    if (n >= 0)
        return n + 1;
    lua_pushnil(L);
    lua_replace(L, 3);
    return 2;
}

/* ---- another state ---------------------------------------------------------------- */

typedef struct {
    lua_State *L;
    long       blocks, left;
} peer;

static void *allocate(void *data, void *old, size_t old_size, size_t size)
{
    peer *p = data;
    (void)old_size;
    if (size == 0) {
        p->blocks -= old != NULL;
        __real_free(old);
        return NULL;
    }
    if (p->left == 0 && (!old || size > old_size))
        return NULL;
    p->left -= p->left > 0;
    void *new = __real_realloc(old, size);
    p->blocks += new && !old;
    return new;
}

int luaopen_codec_peer(lua_State *L);

static void copy_field(lua_State *from, lua_State *to, const char *name)
{
    lua_getglobal(from, "package");
    lua_getfield(from, -1, name);
    lua_getglobal(to, "package");
    lua_pushstring(to, lua_tostring(from, -1));
    lua_setfield(to, -2, name);
    lua_pop(to, 1);
    lua_pop(from, 2);
}

static peer *peer_at(lua_State *L) { return luaL_checkudata(L, 1, "peer"); }

/* -> peer: a new state with the standard libraries and this one's package.path */
static int peer_open(lua_State *L)
{
    peer *p = memset(lua_newuserdata(L, sizeof *p), 0, sizeof *p);
    luaL_getmetatable(L, "peer");
    lua_setmetatable(L, -2);
    p->left = -1;
    p->L = new_state(allocate, p);
    if (!p->L)
        return luaL_error(L, "no state");
    luaL_openlibs(p->L);
    copy_field(L, p->L, "path");
    copy_field(L, p->L, "cpath");
    return 1;
}

/* peer -> */
static int peer_gc(lua_State *L)
{
    peer *p = peer_at(L);
    if (p->L)
        lua_close(p->L);
    p->L = NULL;
    return 0;
}

static int fail(lua_State *L, lua_State *from)
{
    lua_pushnil(L);
    lua_pushstring(L, lua_tostring(from, -1));
    lua_settop(from, 0);
    return 2;
}

/* peer chunk -> true, or nil error: its results are what give() packs */
static int peer_run(lua_State *L)
{
    peer *p = peer_at(L);
    if (luaL_loadstring(p->L, luaL_checkstring(L, 2)) || lua_pcall(p->L, 0, LUA_MULTRET, 0))
        return fail(L, p->L);
    lua_pushboolean(L, 1);
    return 1;
}

/* message values... ->, in the peer */
static int give_there(lua_State *L)
{
    wl_message    **m = lua_touserdata(L, 1);
    wl_pack_options o = {.what = "result", .number = 1, .metatables = WL_REFUSE};
    if (wl_pack(L, 2, lua_gettop(L) - 1, &o, m) != 0)
        return lua_error(L);
    return 0;
}

/* Calls fn(data, n values of the peer's stack) there; after `left` its allocations fail. */
static int call_there(peer *p, lua_CFunction fn, void *data, int n, long allowed)
{
    luaL_checkstack(p->L, 10, NULL);
    lua_pushcfunction(p->L, fn);
    lua_insert(p->L, -1 - n);
    lua_pushlightuserdata(p->L, data);
    lua_insert(p->L, -1 - n);
    p->left = allowed;
    int status = lua_pcall(p->L, n + 1, fn == give_there ? 0 : LUA_MULTRET, 0);
    p->left = -1;
    return status;
}

/* peer n -> message, or nil error: copies what it has to give, see run; if n is
 * given only n of the state's allocations succeed */
static int peer_give(lua_State *L)
{
    peer        *p = peer_at(L);
    long         allowed = (long)luaL_optnumber(L, 2, -1);
    wl_message **m = new_message(L);
    int          n = lua_gettop(p->L);
    luaL_checkstack(p->L, n + 10, NULL);
    for (int i = 1; i <= n; i++)
        lua_pushvalue(p->L, i);
    if (call_there(p, give_there, m, n, allowed) == 0)
        return 1;
    lua_pushnil(L);
    lua_pushstring(L, lua_tostring(p->L, -1));
    lua_settop(p->L, n);
    return 2;
}

/* message -> values..., in the peer */
static int take_there(lua_State *L)
{
    int n = wl_unpack(L, lua_touserdata(L, 1));
    return n >= 0 ? n : lua_error(L);
}

/* peer message n -> true, or nil error: adds them to what it has to give */
static int peer_take(lua_State *L)
{
    peer *p = peer_at(L);
    long  allowed = (long)luaL_optnumber(L, 3, -1);
    if (call_there(p, take_there, *message_at(L, 2), 0, allowed) != 0)
        return fail(L, p->L);
    lua_pushboolean(L, 1);
    return 1;
}

/* peer -> true, or nil error: calls the first that it has to give with the others,
 * the results take their place */
static int peer_call(lua_State *L)
{
    peer *p = peer_at(L);
    if (lua_pcall(p->L, lua_gettop(p->L) - 1, LUA_MULTRET, 0) != 0)
        return fail(L, p->L);
    lua_pushboolean(L, 1);
    return 1;
}

/* peer -> */
static int peer_clear(lua_State *L)
{
    lua_settop(peer_at(L)->L, 0);
    return 0;
}

/* ---- threads, each with a state ------------------------------------------------------ */

typedef struct {
    const char *chunk, *path, *cpath;
    wl_message *m;
    char        error[200];
} job;

/* job -> */
static int job_body(lua_State *L)
{
    job *j = lua_touserdata(L, 1);
    luaL_openlibs(L);
    lua_getglobal(L, "package");
    lua_pushstring(L, j->path);
    lua_setfield(L, -2, "path");
    lua_pushstring(L, j->cpath);
    lua_setfield(L, -2, "cpath");
    if (luaL_loadstring(L, j->chunk))
        return lua_error(L);
    lua_call(L, j->m && wl_unpack(L, j->m) == 1, 0);
    return 0;
}

static void *thread(void *data)
{
    job       *j = data;
    lua_State *L = luaL_newstate();
    lua_pushcfunction(L, job_body);
    lua_pushlightuserdata(L, j);
    if (lua_pcall(L, 1, 0, 0) != 0) {
        const char *e = lua_tostring(L, -1);
        strncpy(j->error, e ? e : "?", sizeof j->error - 1);
    }
    lua_close(L);
    return NULL;
}

/* n kib chunk message -> true, or nil error: n threads with such stacks run the chunk
 * on the message's value, if there is one */
static int peer_threads(lua_State *L)
{
    enum { MOST = 8 };
    pthread_t      threads[MOST];
    static job     jobs[MOST];
    int            n = (int)luaL_checkinteger(L, 1);
    pthread_attr_t attributes;
    luaL_argcheck(L, n <= MOST, 1, "too many");
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 1024 * (size_t)luaL_checkinteger(L, 2));
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "path");
    lua_getfield(L, -2, "cpath");
    for (int i = 0; i < n; i++) {
        jobs[i] = (job){luaL_checkstring(L, 3), lua_tostring(L, -2), lua_tostring(L, -1),
                        lua_isuserdata(L, 4) ? *message_at(L, 4) : NULL, ""};
        if (pthread_create(&threads[i], &attributes, thread, &jobs[i]) != 0)
            abort();
    }
    for (int i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < n; i++)
        if (jobs[i].error[0])
            return luaL_error(L, "%s", jobs[i].error);
    return 0;
}

/* ---- the module ---------------------------------------------------------------------------- */

static void class(lua_State *L, const char *name, const luaL_Reg *methods)
{
    luaL_newmetatable(L, name);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "__index");
    for (; methods->name; methods++) {
        lua_pushcfunction(L, methods->func);
        lua_setfield(L, -2, methods->name);
    }
    lua_pop(L, 1);
}

/* -> module */
int luaopen_codec_peer(lua_State *L)
{
    static const luaL_Reg message[] = {{"__gc", message_gc},
                                       {"bytes", message_bytes},
                                       {"poke", message_poke},
                                       {"cut", message_cut},
                                       {NULL, NULL}};
    static const luaL_Reg peers[] = {
        {"__gc", peer_gc},   {"run", peer_run},     {"give", peer_give}, {"take", peer_take},
        {"call", peer_call}, {"clear", peer_clear}, {"close", peer_gc},  {NULL, NULL}};
    static const luaL_Reg functions[] = {
        {"open", peer_open},         {"pack", peer_pack},       {"unpack", peer_unpack},
        {"alive", peer_alive},       {"threads", peer_threads}, {"fail_after", peer_fail_after},
        {"handle", peer_handle},     {"handles", peer_handles}, {"light", peer_light},
        {"nameless", peer_nameless}, {"register", wl_register}, {NULL, NULL}};
    class(L, "message", message);
    class(L, "peer", peers);
    lua_newtable(L);
    for (const luaL_Reg *f = functions; f->name; f++) {
        lua_pushcfunction(L, f->func);
        lua_setfield(L, -2, f->name);
    }
    lua_pushboolean(L, WL_HAS_UPVALUE_IDS ? 1 : 0);
    lua_setfield(L, -2, "shares_cells");
    return 1;
}
