/* SPDX-License-Identifier: ISC
 *
 * core: the module weir.remote.core, for the files of weir/remote alone. Each function
 * converts, calls one of weir_remote.h or of the desk, and converts. A failed one returns nil,
 * the code and the sentence.
 *
 * A state has one desk, made when it is first needed. Its thread is the state's. The module has a
 * core of weir's of its own, because that of weir.core is its alone; WEIR_TRACE and WEIR_TOP are
 * for the other one (WI_SECOND).
 */
#define _GNU_SOURCE
#include "desk.h"
#include "fields.h"

#include <dlfcn.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>
#include <string.h>

#define FARM "weir.remote.farm"
#define JOB "weir.remote.job"
#define REQUEST "weir.remote.request"
#define DESK "weir.remote.desk"

typedef struct {
    wb_desk *desk;
    wb_item *item;  /* being taken: freed by the next take, or with the desk, whatever raises */
    size_t   farms; /* that are open, or not closed to the end */
} state;

typedef struct {
    weir_remote *farm; /* NULL: closed */
    state       *of;
    wb_listener *listener; /* as long as the farm may tell it */
} farm;

static int fail(lua_State *L, int code)
{
    lua_pushnil(L);
    lua_pushinteger(L, code);
    lua_pushstring(L, weir_remote_error());
    return 3;
}

/* -> true, or as fail */
static int done(lua_State *L, int code)
{
    if (code)
        return fail(L, code);
    return lua_pushboolean(L, 1), 1;
}

/* ---- the desk ------------------------------------------------------------------------ */

/* A farm that was not closed may still tell the desk, which then stays for good. */
static int desk_gc(lua_State *L)
{
    state *s = lua_touserdata(L, 1);
    if (s->desk && !s->farms)
        wb_close(s->desk);
    s->desk = NULL;
    wb_item_free(s->item);
    s->item = NULL;
    return 0;
}

static void new_class(lua_State *L, const char *name, lua_CFunction gc)
{
    luaL_newmetatable(L, name);
    lua_pushcfunction(L, gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
}

static void set_class(lua_State *L, const char *name)
{
    luaL_getmetatable(L, name);
    lua_setmetatable(L, -2);
}

static state *find_state(lua_State *L)
{
    lua_getfield(L, LUA_REGISTRYINDEX, DESK);
    state *s = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return s;
}

static state *state_of(lua_State *L)
{
    state *s = find_state(L);
    if (s && s->desk)
        return s;
    s = lua_newuserdata(L, sizeof *s);
    memset(s, 0, sizeof *s);
    set_class(L, DESK "*");
    int code = wb_open(&s->desk);
    if (code)
        luaL_error(L, "weir.remote: no main: %s", weir_strerror(code));
    lua_setfield(L, LUA_REGISTRYINDEX, DESK);
    return s;
}

/* -> descriptor */
static int core_fd(lua_State *L)
{
    return lua_pushinteger(L, weir_main_fd(wb_main(state_of(L)->desk))), 1;
}

/* -> whether an answer is still to come or to be taken */
static int core_pending(lua_State *L)
{
    state *s = find_state(L);
    return lua_pushboolean(L, s && s->desk && wb_pending(s->desk)), 1;
}

static int core_turn(lua_State *L) { return wb_turn(state_of(L)->desk), 0; }

static void push_request(lua_State *L, weir_request *request)
{
    weir_request **r = lua_newuserdata(L, sizeof *r);
    *r = NULL;
    set_class(L, REQUEST);
    *r = request;
}

static int push_item(lua_State *L, wb_item *item)
{
    lua_pushinteger(L, item->kind);
    lua_pushinteger(L, (lua_Integer)item->number);
    switch (item->kind) {
    case WB_REQUEST:
        push_request(L, item->request);
        item->request = NULL;
        return 3;
    case WB_STOP: return 2;
    case WB_EVENT:
    case WB_ANSWER: break;
    }
    lua_pushinteger(L, item->outcome);
    if (item->outcome == 0 && item->kind == WB_ANSWER) {
        lua_pushstring(L, item->type);
        lua_pushlstring(L, item->bytes ? item->bytes : "", item->size);
    } else {
        lua_pushstring(L, item->error_name);
        lua_pushstring(L, item->error_text);
    }
    return 5;
}

/* -> kind, number, then: of an answer its outcome, and content type and bytes or the error's
 * name and text; of a request the request; of an event code, nil, sentence. Nothing: no item */
static int core_take(lua_State *L)
{
    state *s = state_of(L);
    wb_item_free(s->item);
    s->item = wb_take(s->desk);
    return s->item ? push_item(L, s->item) : 0;
}

/* ---- farms --------------------------------------------------------------------------- */

static void has_closed(farm *f)
{
    free(f->listener);
    f->listener = NULL;
    f->farm = NULL;
    f->of->farms--;
}

/* Begins to end it, and waits for nothing. */
static int farm_gc(lua_State *L)
{
    farm *f = lua_touserdata(L, 1);
    if (f->farm && weir_remote_close(f->farm, WEIR_REMOTE_CANCEL, NULL, 0) == 0)
        has_closed(f);
    f->farm = NULL;
    return 0;
}

static weir_remote *check_farm(lua_State *L, int index)
{
    farm *f = luaL_checkudata(L, index, FARM);
    return f->farm;
}

static int closed(lua_State *L)
{
    lua_pushnil(L);
    lua_pushinteger(L, WEIR_ECLOSED);
    lua_pushstring(L, "the farm is closed");
    return 3;
}

/* fn options, listener's number -> farm */
static int core_open(lua_State *L)
{
    state              *s = state_of(L);
    weir_remote_options o = wf_options(L, 1);
    farm               *f = lua_newuserdata(L, sizeof *f);
    *f = (farm){NULL, s, malloc(sizeof *f->listener)};
    if (!f->listener)
        return luaL_error(L, "weir.remote: no memory");
    *f->listener = (wb_listener){s->desk, (uintptr_t)luaL_checkinteger(L, 2)};
    set_class(L, FARM);
    o.on_event = wb_on_event;
    o.arg = f->listener;
    int code = weir_remote_open(&f->farm, &o);
    if (code) {
        free(f->listener);
        return fail(L, code);
    }
    s->farms++;
    return 1;
}

/* fn farm -> options, as they hold */
static int core_options(lua_State *L)
{
    weir_remote        *f = check_farm(L, 1);
    weir_remote_options o = {.size = sizeof o};
    if (!f)
        return closed(L);
    weir_remote_get_options(f, &o);
    return wf_push_options(L, &o);
}

/* fn farm -> statistics */
static int core_stats(lua_State *L)
{
    weir_remote      *f = check_farm(L, 1);
    weir_remote_stats s = {.size = sizeof s};
    int               code = f ? weir_remote_get_stats(f, &s) : 0;
    if (!f || code)
        return f ? fail(L, code) : closed(L);
    return wf_push_stats(L, &s);
}

/* fn farm, cancel -> true: closed; false: it goes on, and the desk is told when it is over */
static int core_close(lua_State *L)
{
    farm    *f = luaL_checkudata(L, 1, FARM);
    unsigned how = lua_toboolean(L, 2) ? WEIR_REMOTE_CANCEL : WEIR_REMOTE_DRAIN;
    int      code = f->farm ? weir_remote_close(f->farm, how, wb_main(f->of->desk), 0) : 0;
    if (code && code != WEIR_ETIMEDOUT)
        return fail(L, code);
    if (!code && f->farm)
        has_closed(f);
    return lua_pushboolean(L, !code), 1;
}

/* The strings of the list at index; a full userdata that the stack keeps. */
static const char **list_of(lua_State *L, int index, size_t *n)
{
    *n = 0;
    for (lua_rawgeti(L, index, 1); !lua_isnil(L, -1); lua_rawgeti(L, index, (int)*n + 1)) {
        ++*n;
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    const char **list = lua_newuserdata(L, (*n + 1) * sizeof *list);
    for (size_t i = 0; i < *n; i++) {
        lua_rawgeti(L, index, (int)i + 1);
        list[i] = lua_tostring(L, -1); /* the table keeps it */
        lua_pop(L, 1);
    }
    return list;
}

/* fn options, names -> true */
static int core_declare(lua_State *L)
{
    size_t              n;
    weir_remote_options o = wf_options(L, 1);
    const char        **names = list_of(L, 2, &n);
    int                 code = weir_remote_declare(&o, names, n);
    return done(L, code);
}

/* fn list of farms, their number -> text */
static int core_metrics(lua_State *L)
{
    size_t        n = (size_t)luaL_checkinteger(L, 2);
    weir_remote **farms = lua_newuserdata(L, n * sizeof *farms);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 1, (int)i + 1);
        farms[i] = check_farm(L, -1);
        if (!farms[i])
            return closed(L);
        lua_pop(L, 1);
    }
    char *text = wb_metrics(farms, n);
    if (!text)
        return fail(L, WEIR_ENOMEM);
    lua_pushstring(L, text);
    free(text);
    return 1;
}

/* fn path or nil -> true */
static int core_trace(lua_State *L)
{
    return done(L, weir_remote_trace(luaL_optstring(L, 1, NULL)));
}

/* ---- jobs ---------------------------------------------------------------------------- */

static int job_gc(lua_State *L)
{
    wb_job **job = lua_touserdata(L, 1);
    wb_unref(*job);
    *job = NULL;
    return 0;
}

/* fn farm, number, name, bytes, content type, priority, start_within, timeout, only if wanted
 * -> job */
static int core_run(lua_State *L)
{
    weir_remote     *f = check_farm(L, 1);
    size_t           size;
    const char      *bytes = luaL_checklstring(L, 4, &size);
    weir_job_options how = {.size = sizeof how,
                            .content_type = luaL_checkstring(L, 5),
                            .priority = (weir_priority)luaL_checkinteger(L, 6),
                            .start_within_ns = wf_ns(luaL_checknumber(L, 7)),
                            .timeout_ns = wf_ns(luaL_checknumber(L, 8)),
                            .only_if_wanted = lua_toboolean(L, 9)};
    if (!f)
        return closed(L);
    wb_job **job = lua_newuserdata(L, sizeof *job);
    *job = NULL;
    set_class(L, JOB);
    int code = wb_run(state_of(L)->desk, f, (uintptr_t)luaL_checkinteger(L, 2), job,
                      luaL_checkstring(L, 3), bytes, size, &how);
    return code ? fail(L, code) : 1;
}

/* fn job -> UUID */
static int core_id(lua_State *L)
{
    wb_job **job = luaL_checkudata(L, 1, JOB);
    return lua_pushstring(L, wb_id(*job)), 1;
}

/* fn job -> whether it was cancelled */
static int core_cancel(lua_State *L)
{
    wb_job **job = luaL_checkudata(L, 1, JOB);
    return lua_pushboolean(L, *job && wb_cancel(*job) == 0), 1;
}

/* ---- requests ------------------------------------------------------------------------ */

static int request_gc(lua_State *L)
{
    weir_request **r = lua_touserdata(L, 1);
    if (*r)
        wb_release(*r);
    *r = NULL;
    return 0;
}

static weir_request *check_request(lua_State *L)
{
    weir_request **r = luaL_checkudata(L, 1, REQUEST);
    luaL_argcheck(L, *r, 1, "the request was released");
    return *r;
}

/* fn farm, names, run_within in seconds, at_once -> true */
static int core_serve(lua_State *L)
{
    weir_remote *f = check_farm(L, 1);
    size_t       n;
    if (!f)
        return closed(L);
    const char **names = list_of(L, 2, &n);
    int64_t     *within = lua_newuserdata(L, (n + 1) * sizeof *within);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 3, (int)i + 1);
        within[i] = wf_ns(lua_tonumber(L, -1));
        lua_pop(L, 1);
    }
    int code = wb_serve(state_of(L)->desk, f, names, within, n, (unsigned)luaL_checkinteger(L, 4));
    return done(L, code);
}

/* fn request -> name, id, attempt, priority, content type, bytes */
static int core_request(lua_State *L)
{
    weir_request *r = check_request(L);
    size_t        size;
    const char   *bytes = weir_request_bytes(r, &size);
    lua_pushstring(L, weir_request_name(r));
    lua_pushstring(L, weir_request_id(r));
    lua_pushinteger(L, (lua_Integer)weir_request_attempt(r));
    lua_pushinteger(L, weir_request_priority(r));
    lua_pushstring(L, weir_request_content_type(r));
    lua_pushlstring(L, size ? bytes : "", size);
    return 6;
}

/* fn number -> whether the handler of the request is to run. In the state of any thread */
static int core_begin(lua_State *L)
{
    return lua_pushboolean(L, wb_begin((uintptr_t)luaL_checkinteger(L, 1)) == 0), 1;
}

/* fn request, content type, bytes -> true */
static int core_reply(lua_State *L)
{
    size_t      size;
    const char *type = luaL_checkstring(L, 2), *bytes = luaL_checklstring(L, 3, &size);
    return done(L, weir_request_reply_as(check_request(L), type, bytes, size));
}

/* fn request, name, text -> true */
static int core_fail(lua_State *L)
{
    const char *name = luaL_checkstring(L, 2), *text = luaL_checkstring(L, 3);
    return done(L, weir_request_fail(check_request(L), name, text));
}

/* fn request -> true */
static int core_retry(lua_State *L) { return done(L, weir_request_retry(check_request(L))); }

/* fn request */
static int core_release(lua_State *L) { return check_request(L), request_gc(L); }

/* ---- the module ---------------------------------------------------------------------- */

static const luaL_Reg functions[] = {
    {"fd", core_fd},           {"pending", core_pending},
    {"turn", core_turn},       {"take", core_take},
    {"open", core_open},       {"options", core_options},
    {"stats", core_stats},     {"close", core_close},
    {"declare", core_declare}, {"run", core_run},
    {"id", core_id},           {"cancel", core_cancel},
    {"serve", core_serve},     {"request", core_request},
    {"reply", core_reply},     {"metrics", core_metrics},
    {"trace", core_trace},     {"fail", core_fail},
    {"retry", core_retry},     {"release", core_release},
    {"begin", core_begin},     {NULL, NULL},
};

/* Threads of a farm may outlive the state that loaded the module. */
static void stay_loaded(void)
{
    Dl_info here;
    if (dladdr((void *)(uintptr_t)stay_loaded, &here) && here.dli_fname)
        dlopen(here.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
}

/* The one name that is seen from outside. */
#pragma GCC visibility push(default)
int                    luaopen_weir_remote_core(lua_State *L);
#pragma GCC visibility pop

int luaopen_weir_remote_core(lua_State *L)
{
    stay_loaded();
    new_class(L, FARM, farm_gc);
    new_class(L, JOB, job_gc);
    new_class(L, REQUEST, request_gc);
    new_class(L, DESK "*", desk_gc);
    lua_newtable(L);
    for (const luaL_Reg *f = functions; f->name; f++) {
        lua_pushcfunction(L, f->func);
        lua_setfield(L, -2, f->name);
    }
    return 1;
}
