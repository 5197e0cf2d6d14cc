/* SPDX-License-Identifier: ISC
 *
 * fields.c: the structs of weir_remote.h as tables of Lua: a field has its member's name, a time
 * is in seconds there and loses its "_ns".
 */
#include "fields.h"

#include <stdbool.h>
#include <stddef.h>

typedef enum { TEXT, FLAG, NUMBER, SIZE, COUNT, TIME } field_kind;

typedef struct {
    const char *name;
    field_kind  kind;
    size_t      at;
} field;

#define LENGTH(list) (sizeof(list) / sizeof *(list))
#define OPTION(kind, name)                                                                         \
    {                                                                                              \
#name, kind, offsetof(weir_remote_options, name)                                           \
    }
#define PERIOD(name)                                                                               \
    {                                                                                              \
#name, TIME, offsetof(weir_remote_options, name##_ns)                                      \
    }
static const field options[] = {
    OPTION(TEXT, url),         OPTION(TEXT, credentials_file),
    OPTION(TEXT, ca_file),     OPTION(NUMBER, queue_limit),
    OPTION(NUMBER, when_full), OPTION(SIZE, message_limit),
    PERIOD(give_up),           PERIOD(heartbeat),
    PERIOD(reconnect_min),     PERIOD(reconnect_max),
    PERIOD(reply_life),        PERIOD(connect_within),
    PERIOD(consumer_timeout),
};

#define STAT(kind, name)                                                                           \
    {                                                                                              \
#name, kind, offsetof(weir_remote_stats, name)                                             \
    }
static const field stats[] = {
    STAT(FLAG, connected),   STAT(SIZE, in_flight),  STAT(SIZE, waiting),
    STAT(SIZE, requests),    STAT(COUNT, submitted), STAT(COUNT, settled),
    STAT(COUNT, published),  STAT(COUNT, confirmed), STAT(COUNT, republished),
    STAT(COUNT, duplicates), STAT(COUNT, refused),   STAT(COUNT, served),
    STAT(COUNT, connects),
};

int64_t wf_ns(lua_Number seconds) { return seconds > 0 ? (int64_t)(seconds * 1e9) : 0; }

/* value -> value */
static void read_value(lua_State *L, void *place, field_kind kind)
{
    lua_Number n = lua_tonumber(L, -1);
    switch (kind) {
    case TEXT: *(const char **)place = lua_tostring(L, -1); break;
    case FLAG: *(bool *)place = lua_toboolean(L, -1); break;
    case NUMBER: *(unsigned *)place = (unsigned)n; break;
    case SIZE: *(size_t *)place = (size_t)n; break;
    case COUNT: *(uint64_t *)place = (uint64_t)n; break;
    case TIME: *(int64_t *)place = wf_ns(n); break;
    }
}

/* -> value */
static void push_value(lua_State *L, const void *place, field_kind kind)
{
    switch (kind) {
    case TEXT: lua_pushstring(L, *(const char *const *)place); break;
    case FLAG: lua_pushboolean(L, *(const bool *)place); break;
    case NUMBER: lua_pushinteger(L, *(const unsigned *)place); break;
    case SIZE: lua_pushinteger(L, (lua_Integer) * (const size_t *)place); break;
    case COUNT: lua_pushinteger(L, (lua_Integer) * (const uint64_t *)place); break;
    case TIME: lua_pushnumber(L, (lua_Number) * (const int64_t *)place / 1e9); break;
    }
}

static int push_table(lua_State *L, const void *from, const field *list, size_t n)
{
    lua_createtable(L, 0, (int)n);
    for (const field *f = list; f < list + n; f++) {
        push_value(L, (const char *)from + f->at, f->kind);
        lua_setfield(L, -2, f->name);
    }
    return 1;
}

weir_remote_options wf_options(lua_State *L, int table)
{
    weir_remote_options o = {.size = sizeof o};
    for (const field *f = options; f < options + LENGTH(options); f++) {
        lua_getfield(L, table, f->name);
        read_value(L, (char *)&o + f->at, f->kind);
        lua_pop(L, 1);
    }
    return o;
}

int wf_push_options(lua_State *L, const weir_remote_options *o)
{
    return push_table(L, o, options, LENGTH(options));
}

int wf_push_stats(lua_State *L, const weir_remote_stats *s)
{
    return push_table(L, s, stats, LENGTH(stats));
}
