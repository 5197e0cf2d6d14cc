/* SPDX-License-Identifier: ISC
 *
 * work.c: works: tasks without a future. When one is over, a function is called with what it
 * returned. In Lua a work is a list, see weir/work.lua. One that is under way stands in the table
 * `works` at its job's key. Whatever is rare goes to a function of Lua: a work that cannot be
 * queued at once, and one that failed.
 */
#include "runtime/future.h"
#include "runtime/job.h"
#include "runtime/mailbox.h"
#include "runtime/util.h"
#include "codec/codec.h"
#include "threads/threads.h"

enum { FN = 1, AFTER, POOL }; /* of a work; as in weir/work.lua */

/* Upvalues behind those of a method. */
enum { ALL = WL_UPVALUES + 1, CLASS, SLOWLY, QUEUE_HAS = 3 }; /* of queue */
enum { FAILED = ALL + 1, CALL_HAS = 2 };                      /* of call_works */

/* n values -> function, which has them as its last upvalues */
static int with_upvalues(lua_State *L, lua_CFunction fn, int n)
{
    lua_settop(L, n);
    for (int i = 1; i <= WL_UPVALUES; i++) {
        lua_pushvalue(L, lua_upvalueindex(i));
        lua_insert(L, i);
    }
    return lua_pushcclosure(L, fn, WL_UPVALUES + n), 1;
}

/* ---- queueing ------------------------------------------------------------- */

/* Of the work at 1; NULL: it is none, or has none yet. */
static wl_pool *pool_of(lua_State *L)
{
    wl_pool **p = NULL;
    if (!lua_istable(L, 1) || !lua_getmetatable(L, 1))
        return NULL;
    if (lua_rawequal(L, -1, lua_upvalueindex(CLASS))) {
        lua_rawgeti(L, 1, POOL);
        p = wl_is(L, -1, WL_POOL);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return p ? *p : NULL;
}

static void set_work(lua_State *L, uint32_t key)
{
    lua_rawseti(L, lua_upvalueindex(ALL), (wl_index)key);
}

static void get_work(lua_State *L, uint32_t key)
{
    lua_rawgeti(L, lua_upvalueindex(ALL), (wl_index)key);
}

static void drop_work(lua_State *L, uint32_t key)
{
    lua_pushnil(L);
    set_work(L, key);
}

/* Where no memory is left for the job, its key is lost: a number.
 *
 * work arguments... -> function arguments... */
static wl_job *make_job(lua_State *L, wl_main *m, wl_pool *p)
{
    uint32_t key = wl_key_take(L, m->state);
    lua_pushboolean(L, false); /* room in the table, which may raise */
    set_work(L, key);
    wl_job *j = wl_task_make(L, m, p);
    lua_pushvalue(L, 1);
    set_work(L, key);
    j->key = key;
    j->is_work = j->watched = true;
    lua_rawgeti(L, 1, FN);
    lua_replace(L, 1);
    return j;
}

/* function arguments... -> the same; whether it is under way */
static bool pack_and_submit(lua_State *L, wl_job *j)
{
    wl_pack_options  options = {.number = 1, .metatables = j->pool->metatables};
    weir_run_options none = {0};
    if (wl_pack_into(L, 1, lua_gettop(L), &options, &j->result, &j->call) == 0)
        return j->main->held && wl_task_submit(j, &none) == 0; /* a finaliser may have ended that */
    lua_pop(L, 1);
    return false;
}

/* function arguments... -> work arguments... */
static void unmake(lua_State *L, wl_job *j)
{
    get_work(L, j->key);
    lua_replace(L, 1);
    drop_work(L, j->key);
    wl_key_give(j->main->state, j->key);
}

/* Where the state has a main that a loop watches, and the pool takes it. */
static bool queue_at_once(lua_State *L)
{
    wl_main *m = wl_this(L)->main;
    wl_pool *p = m && m->held && !wl_this(L)->restricted ? pool_of(L) : NULL;
    if (!p || (p->waits && m->lined_up) || !lua_checkstack(L, LUA_MINSTACK))
        return false;
    wl_job *j = make_job(L, m, p);
    bool    queued = pack_and_submit(L, j);
    if (!queued)
        unmake(L, j);
    wl_job_unref(j);
    return queued;
}

/* The slow way may suspend the caller: it waits for space. Before 5.2 C cannot be suspended. */
#if LUA_VERSION_NUM < 502
#define lua_callk(L, n, results, context, go_on) lua_call(L, n, results)
#elif LUA_VERSION_NUM == 502
static int slowly_done(lua_State *L) { return lua_gettop(L); }
#else
static int slowly_done(lua_State *L, int status, lua_KContext context)
{
    (void)status, (void)context;
    return lua_gettop(L);
}
#endif

/* work arguments... -> true | as the slow way */
static int queue(lua_State *L)
{
    if (queue_at_once(L))
        return wl_boolean(L, true);
    lua_pushvalue(L, lua_upvalueindex(SLOWLY));
    lua_insert(L, 1);
    lua_callk(L, lua_gettop(L) - 1, LUA_MULTRET, 0, slowly_done);
    return lua_gettop(L);
}

/* works class slow -> queue */
static int make_queue(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    return with_upvalues(L, queue, QUEUE_HAS);
}

/* ---- coming back ------------------------------------------------------------ */

static bool has_result(const wl_job *j)
{
    return atomic_load(&j->settled) && !j->ended && j->outcome == 0;
}

static void release_job(wl_future *slot)
{
    wl_job *j = slot->job;
    slot->job = NULL;
    if (!j)
        return;
    j->has_future = false;
    wl_job_keep(j);
}

/* slot work function result... -> ?; lets go of the job first, whose memory is warm */
static void call_after(lua_State *L, wl_future *slot, int n)
{
    release_job(slot);
    lua_call(L, n, 0);
}

/* slot work ... -> ?; the function of Lua asks the future why */
static void call_failed(lua_State *L, wl_future *slot)
{
    lua_pushvalue(L, lua_upvalueindex(FAILED));
    lua_pushvalue(L, 2);
    wl_future *f = wl_future_push(L);
    f->job = slot->job;
    slot->job = NULL;
    lua_call(L, 2, 0);
}

/* slot work -> ? */
static void end_work(lua_State *L, wl_future *slot)
{
    lua_rawgeti(L, 2, AFTER);
    int n = has_result(slot->job) ? wl_unpack_plainly(L, slot->job->result) : -1;
    if (n >= 0)
        call_after(L, slot, n);
    else
        call_failed(L, slot);
}

/* Calls the functions of all works that have come back. Raises what a function raises: then the
 * others are still there, and one less than before, so that it can be called until it raises
 * nothing. Takes works[0] away, so that who called it can tell that it began: where the stack
 * ends, it does not. The slot is a future without a job: meanwhile it holds the job whose result is
 * read, which may raise, or run a finalizer that calls this again.
 *
 * slot -> */
static int call_works(lua_State *L)
{
    wl_state  *s = wl_this(L);
    wl_future *slot = wl_check(L, 1, wl_future_class);
    uint32_t   key;
    if (slot->job)
        return luaL_error(L, "call_works: the slot is in use");
    drop_work(L, 0);
    for (; s->main && (slot->job = wl_main_take_work(s->main, &key));) {
        lua_settop(L, 1);
        get_work(L, key);
        drop_work(L, key);
        if (lua_istable(L, 2)) /* always, but where others than weir/work.lua call */
            end_work(L, slot);
        else
            release_job(slot);
    }
    return 0;
}

/* -> slot */
static int make_slot(lua_State *L) { return wl_future_push(L), 1; }

/* works failed -> call_works; a restricted state may call it, with whatever it likes */
static int make_call_works(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    return with_upvalues(L, call_works, CALL_HAS);
}

/* module -> module */
void wl_work_register(lua_State *L)
{
    wl_method(L, "queue", make_queue);
    wl_method(L, "call_works", make_call_works);
    wl_method(L, "slot", make_slot);
}
