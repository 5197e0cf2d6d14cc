/* SPDX-License-Identifier: ISC
 *
 * seen.c: what a pool says of itself: what runs, how long tasks took, and what the watcher
 * finds.
 *
 * The watcher tells on a thread of the core, which runs no Lua. What is for a function waits
 * in a list, and a notice wakes the state that asked for it; mailbox.lua then takes the list.
 * Without a function, or once that state has ended, it goes to stderr at once. So does what a
 * loop is told of itself, because the function could run only when the loop turns again.
 */
#include "runtime/error.h"
#include "runtime/main.h"
#include "runtime/pool.h"
#include "runtime/state.h"
#include "runtime/util.h"
#include "threads/threads.h"
#include "weir.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- what runs ------------------------------------------------------------- */

typedef struct {
    weir_running *task;
    size_t        room, n;
} listing;

/* No Lua may run here, because an error would leave the core's frames. */
static void note_running(void *arg, const weir_running *t)
{
    listing *l = arg;
    if (l->n < l->room)
        l->task[l->n] = *t;
    l->n++;
}

static void push_running(lua_State *L, const weir_running *t, int64_t now)
{
    lua_createtable(L, 0, 5);
    if (t->label) {
        lua_pushstring(L, t->label);
        lua_setfield(L, -2, "label");
    }
    if (t->thread >= 0) {
        lua_pushinteger(L, t->thread);
        lua_setfield(L, -2, "thread");
    }
    lua_pushnumber(L, now > t->since ? (lua_Number)(now - t->since) / 1e9 : 0);
    lua_setfield(L, -2, "seconds");
    lua_pushboolean(L, t->cancel_requested);
    lua_setfield(L, -2, "cancelled");
    lua_pushboolean(L, t->blocking);
    lua_setfield(L, -2, "blocking");
}

/* handle -> list of tables, the oldest first */
static int pool_running(lua_State *L)
{
    wl_pool *p = wl_pool_check(L, 1);
    listing  l = {.room = 16};
    for (;;) {
        l.task = lua_newuserdata(L, l.room * sizeof *l.task);
        l.n = 0;
        if (weir_pool_each_running(p->weir, note_running, &l) != 0)
            return luaL_error(L, "weir: not enough memory");
        if (l.n <= l.room)
            break;
        l.room = l.n + 16;
    }
    int64_t now = weir_now();
    lua_createtable(L, (int)l.n, 0);
    for (size_t i = 0; i < l.n; i++) {
        push_running(L, &l.task[i], now);
        lua_rawseti(L, -2, (int)i + 1);
    }
    return 1;
}

/* ---- how long tasks took --------------------------------------------------- */

static bool get_times(lua_State *L, uint64_t counts[WEIR_TIMES])
{
    wl_pool *p = wl_pool_check(L, 1);
    bool     run = strcmp(luaL_checkstring(L, 2), "run") == 0;
    return weir_pool_get_times(p->weir, run ? WEIR_RUN_TIME : WEIR_QUEUE_TIME, counts) == 0;
}

/* handle "queue"|"run" -> list of {below = seconds, count = n}, of those that are not empty;
 * nil if the pool does not measure */
static int pool_times(lua_State *L)
{
    uint64_t counts[WEIR_TIMES];
    int      n = 0;
    if (!get_times(L, counts))
        return 0;
    lua_newtable(L);
    for (unsigned i = 0; i < WEIR_TIMES; i++) {
        if (!counts[i])
            continue;
        lua_createtable(L, 0, 2);
        lua_pushnumber(L, (lua_Number)weir_times_below(i) / 1e9);
        lua_setfield(L, -2, "below");
        lua_pushinteger(L, (lua_Integer)counts[i]);
        lua_setfield(L, -2, "count");
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}

/* handle "queue"|"run" percent -> seconds | nil: nothing was measured */
static int pool_percentile(lua_State *L)
{
    uint64_t counts[WEIR_TIMES];
    uint64_t ns = get_times(L, counts) ? weir_times_percentile(counts, luaL_checknumber(L, 3)) : 0;
    if (!ns)
        return 0;
    return wl_number(L, (lua_Number)ns / 1e9);
}

/* ---- the watcher ----------------------------------------------------------- */

enum { KEPT = 16, TEXT = 256 };

static struct {
    pthread_mutex_t lock;
    /* Guarded by lock. */
    wl_main *main; /* whose state takes the list; NULL: stderr. Held */
    char     text[KEPT][TEXT];
    unsigned n;
    bool     posted;
} found = {.lock = PTHREAD_MUTEX_INITIALIZER};

static weir_notice wakes; /* under way while `posted` */

static void woke(weir_notice *notice, int outcome)
{
    (void)notice, (void)outcome;
    pthread_mutex_lock(&found.lock);
    found.posted = false;
    pthread_mutex_unlock(&found.lock);
}

static void           lock_found(void) { pthread_mutex_lock(&found.lock); }
static void           unlock_found(void) { pthread_mutex_unlock(&found.lock); }
static weir_fork_hook at_fork = {
    .before = lock_found, .in_parent = unlock_found, .in_child = unlock_found};

static void write_text(const char *text)
{
    char line[TEXT + 8];
    int  n = snprintf(line, sizeof line, "weir: %s\n", text);
    if (write(STDERR_FILENO, line, (size_t)n) < 0)
        return;
}

/* Puts the text on the list. The main to wake, with a reference; NULL: none */
static wl_main *keep(const char *text, bool *kept)
{
    pthread_mutex_lock(&found.lock);
    wl_main *m = found.main;
    *kept = m && found.n < KEPT;
    if (*kept)
        snprintf(found.text[found.n++], TEXT, "%s", text);
    bool wakes_it = *kept && !found.posted;
    found.posted |= wakes_it;
    if (wakes_it)
        wl_main_ref(m);
    pthread_mutex_unlock(&found.lock);
    return wakes_it ? m : NULL;
}

static void say(void *arg, const weir_sighting *s)
{
    bool     kept = false;
    wl_main *m = s->kind == WEIR_STUCK_LOOP ? NULL : keep(s->text, &kept);
    (void)arg;
    if (m) {
        wakes = (weir_notice){.fn = woke};
        if (!(kept = wl_main_post(m, &wakes))) /* its state has ended */
            woke(NULL, 0);
        wl_main_unref(m);
    }
    if (!kept)
        write_text(s->text);
}

static void aim(wl_main *m)
{
    pthread_mutex_lock(&found.lock);
    wl_main *before = found.main;
    found.main = m;
    found.n = 0;
    pthread_mutex_unlock(&found.lock);
    if (before)
        wl_main_unref(before);
}

/* task seconds|nil, loop seconds|nil, whether a function is told -> true | nil, word */
static int watcher(lua_State *L)
{
    wl_need_unrestricted(L, "weir.watch"); /* it tells of every pool of the process */
    weir_watch_options o = {.size = sizeof o, .tell = say};
    o.task_ns = wl_opt_nanoseconds(L, 1);
    o.loop_ns = wl_opt_nanoseconds(L, 2);
    bool     none = !o.task_ns && !o.loop_ns;
    wl_main *m = !none && lua_toboolean(L, 3) ? wl_main_get(L) : NULL;
    weir_on_fork(&at_fork);
    weir_watch(NULL); /* so that nothing is told to the state of before */
    if (m)
        wl_main_ref(m);
    aim(m);
    return wl_push_outcome(L, none ? 0 : weir_watch(&o));
}

/* -> text | nil: nothing more was found for this state */
static int sighting(lua_State *L)
{
    char     text[TEXT] = "";
    wl_main *m = wl_main_look(L);
    pthread_mutex_lock(&found.lock);
    bool any = m && found.main == m && found.n > 0;
    if (any) {
        memcpy(text, found.text[0], TEXT);
        memmove(found.text[0], found.text[1], sizeof found.text - TEXT);
        found.n--;
    }
    pthread_mutex_unlock(&found.lock);
    if (!any)
        return 0;
    return lua_pushstring(L, text), 1;
}

/* The program's own, in a trace. What f raises passes.
 *
 * label f args... -> what f returns */
static int slice(lua_State *L)
{
    wl_need_unrestricted(L, "weir.slice"); /* labels stay */
    weir_trace_begin(luaL_checkstring(L, 1));
    int rc = lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 0);
    weir_trace_end();
    return rc != 0 ? lua_error(L) : lua_gettop(L) - 1;
}

/* module -> module */
void wl_seen_register(lua_State *L)
{
    wl_method(L, "running", pool_running);
    wl_method(L, "times", pool_times);
    wl_method(L, "percentile", pool_percentile);
    wl_method(L, "watcher", watcher);
    wl_method(L, "sighting", sighting);
    wl_method(L, "slice", slice);
}
