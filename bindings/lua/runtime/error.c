/* SPDX-License-Identifier: ISC
 *
 * error.c: the errors of what runs in pool threads and in run_in_main: as text, with a
 * traceback, and as a message to another state.
 */
#include "runtime/error.h"
#include "weir.h"
#include "runtime/job.h"
#include "runtime/state.h"
#include "runtime/thread.h"

static char key; /* its address: debug.traceback in the registry */

/* -> ; in a new state, before anything can change it */
void wl_error_prepare(lua_State *L)
{
    lua_getglobal(L, "debug");
    lua_getfield(L, -1, "traceback");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &key);
    lua_pop(L, 1);
}

/* value -> text: of a value without one, what kind it is. The text that an object has is
 * had by calling it, so this may raise. */
static int describe(lua_State *L)
{
    if (lua_type(L, 1) == LUA_TSTRING || lua_type(L, 1) == LUA_TNUMBER) {
        lua_tostring(L, 1);
        return 1;
    }
    if (luaL_callmeta(L, 1, "__tostring") && lua_type(L, -1) == LUA_TSTRING)
        return 1;
    return lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1)), 1;
}

/* -> text of the value at index, or why it has none */
void wl_push_text(lua_State *L, int index)
{
    lua_pushvalue(L, index);
    lua_pushcfunction(L, describe);
    lua_insert(L, -2);
    if (lua_pcall(L, 1, 1, 0) != 0 && lua_type(L, -1) != LUA_TSTRING) {
        lua_pop(L, 1);
        lua_pushliteral(L, "(error object has an error in its __tostring)");
    }
}

/* What runs here as its last line, where it has a label. The text stays on the stack.
 *
 * traceback -> traceback */
static const char *add_label(lua_State *L)
{
    const weir_task *t = weir_task_current();
    const char      *label = t ? weir_task_label(t) : NULL;
    return label ? lua_pushfstring(L, "%s\n\tin task '%s'", lua_tostring(L, -1), label)
                 : lua_tostring(L, -1);
}

/* The message handler of everything that runs here; keeps the traceback with the job.
 * Outside a task it does nothing.
 *
 * error -> error */
int wl_note_failure(lua_State *L)
{
    wl_thread *w = wl_thread_of(L);
    wl_job    *j = w ? w->job : NULL;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &key);
    if (!j || j->traceback || !lua_isfunction(L, -1)) {
        lua_settop(L, 1);
        return 1;
    }
    wl_push_text(L, 1);
    lua_pushinteger(L, 2);
    lua_call(L, 2, 1);
    if (lua_type(L, -1) == LUA_TSTRING)
        j->traceback = wl_strdup(add_label(L));
    lua_settop(L, 1);
    return 1;
}

/* error, why it cannot cross -> ... what is sent in its place: its text is not lost */
static void explain(lua_State *L)
{
    int value = lua_gettop(L) - 1;
    if (!luaL_getmetafield(L, value, "__tostring"))
        return;
    lua_pop(L, 1);
    wl_push_text(L, value);
    lua_pushfstring(L, "%s: %s", lua_tostring(L, -2), lua_tostring(L, -1));
}

/* The error value on top, or why it cannot cross and its text; NULL when there is no
 * memory.
 *
 * error -> ... */
wl_message *wl_pack_error(lua_State *L, wl_metatables metatables)
{
    const wl_state *s = wl_state_of(L);
    wl_pack_options options = {
        .what = "error value", .metatables = metatables, .restricted = s && s->restricted};
    wl_message *m = NULL;
    if (wl_pack(L, lua_gettop(L), 1, &options, &m) == 0)
        return m;
    if (lua_type(L, -1) == LUA_TSTRING)
        explain(L);
    wl_pack(L, lua_gettop(L), 1, &options, &m);
    return m;
}

const char *wl_word(int code)
{
    switch (code) {
    case WEIR_ECLOSED: return "closed";
    case WEIR_EFULL: return "full";
    case WEIR_ECANCELED: return "cancelled";
    case WEIR_EEXPIRED: return "expired";
    case WEIR_ETIMEDOUT: return "timeout";
    case WEIR_ENOMEM: return "not enough memory";
    case WEIR_EAGAIN: return "the system refused a thread";
    default: return weir_strerror(code);
    }
}

/* -> nil, word */
int wl_push_refusal(lua_State *L, int code) { return wl_nil(L, wl_word(code)); }

int wl_push_outcome(lua_State *L, int code)
{
    return code == 0 ? wl_boolean(L, true) : wl_push_refusal(L, code);
}
