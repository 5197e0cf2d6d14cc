/* SPDX-License-Identifier: ISC
 *
 * open.c: pools are opened, resized, asked and closed.
 */
#include "runtime/cancel.h"
#include "runtime/error.h"
#include "runtime/job.h"
#include "runtime/locks.h"
#include "runtime/main.h"
#include "runtime/pool.h"
#include "runtime/settle.h"
#include "runtime/state.h"
#include "runtime/util.h"
#include "codec/codec.h"
#include "threads/threads.h"
#include "weir.h"

#include <stdlib.h>
#include <string.h>

/* ---- open ------------------------------------------------------------------ */

static unsigned field_count(lua_State *L, const char *name)
{
    lua_getfield(L, 1, name);
    unsigned n = (unsigned)lua_tointeger(L, -1);
    lua_pop(L, 1);
    return n;
}

static bool field_flag(lua_State *L, const char *name)
{
    lua_getfield(L, 1, name);
    bool flag = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return flag;
}

/* The options' table keeps it. */
static const char *field_text(lua_State *L, const char *name, const char *none)
{
    lua_getfield(L, 1, name);
    const char *text = luaL_optstring(L, -1, none);
    lua_pop(L, 1);
    return text;
}

/* 0 when it is not given */
static int64_t field_ns(lua_State *L, const char *name)
{
    lua_getfield(L, 1, name);
    int64_t ns = wl_opt_nanoseconds(L, -1);
    lua_pop(L, 1);
    return ns;
}

/* They were checked in Lua. */
static void read_pool_options(lua_State *L, weir_pool_options *o, wl_pool *p)
{
    *o = (weir_pool_options){.size = sizeof *o, .name = p->name, .arg = p};
    o->threads = field_count(L, "threads");
    o->threads_max = field_count(L, "threads_max");
    o->max_blocked = field_count(L, "max_blocked");
    o->queue_limit = field_count(L, "queue_limit");
    o->stack_size = field_count(L, "stack_size");
    o->idle_ns = field_ns(L, "idle");
    o->measure = field_flag(L, "measure");
    o->lazy = p->lazy = field_flag(L, "lazy");
    const char *on_full = field_text(L, "on_full", "refuse");
    o->when_full = strcmp(on_full, "drop_oldest") == 0 ? WEIR_DROP_OLDEST : WEIR_REFUSE;
    p->waits = strcmp(on_full, "wait") == 0;
    lua_getfield(L, 1, "cancel_timeout");
    p->cancel_ns = lua_isnil(L, -1) ? 5000000000 : wl_nanoseconds(lua_tonumber(L, -1));
    lua_pop(L, 1);
    p->nice = wl_thread_nice() + (int)field_count(L, "nice");
    o->worker_signal = wl_cancel_signal();
    o->init = wl_thread_init;
    o->at_exit = wl_thread_exit;
}

/* How values cross, and into what. */
static void read_crossing(lua_State *L, wl_pool *p)
{
    const char *word = field_text(L, "metatables", "refuse");
    p->own_globals = field_flag(L, "own_globals");
    p->metatables = strcmp(word, "copy") == 0   ? WL_COPY
                    : strcmp(word, "drop") == 0 ? WL_DROP
                                                : WL_REFUSE;
}

static void note_most(wl_pool *p)
{
    weir_pool_options o = {.size = sizeof o};
    weir_pool_get_options(p->weir, &o);
    atomic_store(&p->most, o.threads_max + o.max_blocked);
    p->queue_limit = o.queue_limit;
}

static wl_pool *make_pool(lua_State *L)
{
    wl_pool *p = wl_pool_make(L);
    if (!(p->name = wl_strdup(field_text(L, "name", "weir"))))
        luaL_error(L, "weir: not enough memory");
    return p;
}

static void opened(weir_notice *notice, int outcome)
{
    wl_job *j = (wl_job *)(void *)notice;
    wl_lock(j->pool);
    j->pool->opened = true;
    wl_unlock(j->pool);
    wl_job_settle(j, wl_job_failed(j, outcome));
}

/* The first error of an at_exit, taken over by who is told of the close. */
static int take_exit_error(wl_job *j)
{
    j->result = atomic_exchange(&j->pool->exit_error, NULL);
    j->failure = j->result ? NULL : "at_exit failed";
    return WL_FAILED;
}

static void closed(weir_notice *notice, int outcome)
{
    wl_job *j = (wl_job *)(void *)notice;
    if (outcome == 0 && atomic_load(&j->pool->exit_error)) {
        outcome = take_exit_error(j);
        if (!atomic_load(&j->main->closed)) /* else no future is left to tell */
            free(atomic_exchange(&j->pool->exit_text, NULL));
    }
    wl_job_settle(j, outcome);
}

/* options setup... -> handle, future | false, why setup cannot cross | nil, word */
static int pool_open(lua_State *L)
{
    /* path, cpath, preload, searchers; init, at_exit, then args: see threads/thread.c */
    wl_pack_options what = {.what = "setup", .number = -5};
    wl_need_unrestricted(L, "weir.pool"); /* its threads may do everything */
    luaL_checktype(L, 1, LUA_TTABLE);
    int n = lua_gettop(L) - 1;
    int rc = wl_main_open(L);
    if (rc != 0)
        return wl_push_refusal(L, rc);
    wl_pool *p = make_pool(L);
    read_crossing(L, p);
    what.metatables = p->metatables;
    lua_insert(L, 2);
    rc = wl_pack(L, 3, 4, &what, &p->package);
    what.number += 4;
    if (rc != 0 || wl_pack(L, 7, n - 4, &what, &p->setup) != 0)
        return wl_false_and(L);
    weir_pool_options o;
    read_pool_options(L, &o, p);
    wl_cancel_prepare();
    wl_job *j = wl_job_push(L, WL_OPEN, p);
    j->u.notice.fn = opened;
    wl_job_ref(j);
    rc = weir_pool_open_async(&p->weir, &o, j->main->weir, &j->u.notice);
    if (rc != 0) {
        wl_job_unref(j);
        return wl_push_refusal(L, rc);
    }
    note_most(p);
    lua_pushvalue(L, 2);
    lua_insert(L, -2);
    return 2;
}

/* ---- close ----------------------------------------------------------------- */

static weir_close_mode mode_of(lua_State *L, int index)
{
    return lua_toboolean(L, index) ? WEIR_DRAIN : WEIR_CLOSE;
}

/* handle drain -> future | nil, word */
static int pool_close_async(lua_State *L)
{
    wl_pool *p = wl_pool_check(L, 1);
    int      rc = wl_main_open(L);
    if (rc != 0)
        return wl_push_refusal(L, rc);
    wl_job *j = wl_job_push(L, WL_CLOSE, p);
    j->u.notice.fn = closed;
    wl_job_ref(j);
    rc = weir_close_async(p->weir, mode_of(L, 2), j->main->weir, &j->u.notice);
    if (rc == 0)
        return 1;
    wl_job_unref(j);
    return wl_push_refusal(L, rc);
}

/* The calling thread waits; calls that tasks make into its state run meanwhile.
 *
 * handle drain seconds (negative: no limit) -> true | nil, word */
static int pool_close_blocking(lua_State *L)
{
    wl_pool   *p = wl_pool_check(L, 1);
    lua_Number seconds = luaL_checknumber(L, 3);
    int        rc = wl_main_open(L);
    if (rc != 0)
        return wl_push_refusal(L, rc);
    wl_main   *m = wl_main_get(L);
    lua_State *outer = m->blocked;
    m->blocked = L;
    rc = seconds < 0 ? weir_close(p->weir, mode_of(L, 2))
                     : weir_close_within(p->weir, mode_of(L, 2), wl_nanoseconds(seconds));
    m->blocked = outer;
    return wl_push_outcome(L, rc);
}

/* ---- the rest -------------------------------------------------------------- */

/* handle min max -> true | nil, word */
static int pool_resize(lua_State *L)
{
    wl_need_unrestricted(L, "resize");
    wl_pool *p = wl_pool_check(L, 1);
    int      rc = weir_pool_resize(p->weir, (unsigned)luaL_checkinteger(L, 2),
                                   (unsigned)luaL_checkinteger(L, 3));
    note_most(p);
    return wl_push_outcome(L, rc);
}

/* handle -> table */
static int pool_stats(lua_State *L)
{
    weir_pool_stats s = {.size = sizeof s};
    wl_pool        *p = wl_pool_check(L, 1);
    weir_pool_get_stats(p->weir, &s);
    const struct {
        const char *name;
        uint64_t    value;
    } fields[] = {
        {"threads", s.threads},     {"idle", s.idle},
        {"running", s.running},     {"queued", s.queued},
        {"lost", s.lost},           {"blocked", s.blocked},
        {"submitted", s.submitted}, {"ok", s.ok},
        {"failed", s.failed},       {"cancelled", s.cancelled},
        {"expired", s.expired},     {"closed", s.closed},
        {"dropped", s.dropped},     {"refused", s.refused},
        {"abandoned", s.abandoned}, {"grown", s.grown},
        {"retired", s.retired},     {"timed_out", atomic_load(&p->timed_out)},
    };
    lua_newtable(L);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        lua_pushinteger(L, (lua_Integer)fields[i].value);
        lua_setfield(L, -2, fields[i].name);
    }
    lua_pushnumber(L, (lua_Number)s.oldest_queued_ns / 1e9);
    lua_setfield(L, -2, "oldest_queued");
    lua_pushnumber(L, (lua_Number)s.oldest_running_ns / 1e9);
    lua_setfield(L, -2, "oldest_running");
    return 1;
}

/* handle -> string */
static int pool_name(lua_State *L) { return lua_pushstring(L, wl_pool_check(L, 1)->name), 1; }

static void has_space(weir_notice *notice, int outcome)
{
    wl_job_settle((wl_job *)(void *)notice, outcome);
}

/* handle -> future, over when the queue has space or takes no more */
static int pool_space(lua_State *L)
{
    wl_pool *p = wl_pool_check(L, 1);
    wl_job  *j = wl_job_push(L, WL_SIGNAL, NULL);
    j->u.notice.fn = has_space;
    wl_job_ref(j);
    int rc = weir_pool_on_space(p->weir, &j->u.notice, j->main->weir);
    if (rc == 0)
        return 1;
    wl_job_unref(j);
    return luaL_error(L, "weir: %s", wl_word(rc));
}

/* handle -> whether a run waits where the queue is full */
static int pool_waits(lua_State *L) { return wl_boolean(L, wl_pool_check(L, 1)->waits); }

/* value -> whether it is a pool */
static int is_pool(lua_State *L) { return wl_boolean(L, wl_pool_is(L, 1)); }

/* module -> module */
void wl_open_register(lua_State *L)
{
    wl_method(L, "is_pool", is_pool);
    wl_method(L, "open", pool_open);
    wl_method(L, "close_async", pool_close_async);
    wl_method(L, "close_blocking", pool_close_blocking);
    wl_method(L, "resize", pool_resize);
    wl_method(L, "stats", pool_stats);
    wl_method(L, "name", pool_name);
    wl_method(L, "waits", pool_waits);
    wl_method(L, "space", pool_space);
}
