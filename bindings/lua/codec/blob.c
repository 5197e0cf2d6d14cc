/* SPDX-License-Identifier: ISC
 *
 * blob.c: functions' bytecode, equal bytes held once in the process.
 *
 * A thousand queued calls of one function share its blob, and a state that meets a
 * blob again need not load it again. `lock` guards the hash table. The last
 * reference goes only under the lock, so whoever finds a blob in the table may take
 * one; others come and go without it.
 *
 * Bytecode never travels in a message's bytes: Lua does not check what it loads.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "codec/format.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static wl_blob       **buckets; /* n_buckets, a power of two */
static size_t          n_buckets, n_blobs;

/* ---- fork: nobody else may hold the lock in the child ------------------------ */

static void lock_blobs(void) { pthread_mutex_lock(&lock); }
static void unlock_blobs(void) { pthread_mutex_unlock(&lock); }
static void on_load(void) { pthread_atfork(lock_blobs, unlock_blobs, unlock_blobs); }

/* ---- the table ---------------------------------------------------------------- */

static uint64_t mix(uint64_t h) { return (h ^ (h >> 32)) * UINT64_C(0x9e3779b97f4a7c15); }

static uint64_t hash_of(const char *bytes, size_t size)
{
    uint64_t h = mix(size + 1), word = 0;
    for (; size >= sizeof word; bytes += sizeof word, size -= sizeof word) {
        memcpy(&word, bytes, sizeof word);
        h = mix(h ^ word);
    }
    word = 0;
    memcpy(&word, bytes, size);
    h = mix(h ^ word);
    return h ^ (h >> 32);
}

static wl_blob **bucket_locked(uint64_t hash) { return &buckets[hash & (n_buckets - 1)]; }

static wl_blob *find_locked(const char *bytes, size_t size, uint64_t hash)
{
    if (!n_buckets)
        return NULL;
    wl_blob *b = *bucket_locked(hash);
    while (b && (b->hash != hash || b->size != size || memcmp(b->bytes, bytes, size)))
        b = b->next;
    return b;
}

/* Without memory the chains get longer, unless there is no table at all. */
static void grow_locked(void)
{
    size_t    old_n = n_buckets, n = old_n ? 2 * old_n : 64;
    wl_blob **old = buckets, **bigger = calloc(n, sizeof *bigger);
    if (!bigger)
        return;
    buckets = bigger;
    n_buckets = n;
    for (size_t i = 0; i < old_n; i++)
        for (wl_blob *b = old[i], *next; b; b = next) {
            wl_blob **head = bucket_locked(b->hash);
            next = b->next;
            b->next = *head;
            *head = b;
        }
    free(old);
}

static wl_blob *make_locked(const char *bytes, size_t size, uint64_t hash)
{
    if (n_blobs >= n_buckets)
        grow_locked();
    wl_blob *b = n_buckets ? malloc(sizeof *b + size) : NULL;
    if (!b)
        return NULL;
    wl_blob **head = bucket_locked(hash);
    b->next = *head;
    b->hash = hash;
    atomic_init(&b->refs, 1);
    b->size = size;
    memcpy(b->bytes, bytes, size);
    *head = b;
    n_blobs++;
    return b;
}

static void unlink_locked(wl_blob *b)
{
    wl_blob **at = bucket_locked(b->hash);
    while (*at != b)
        at = &(*at)->next;
    *at = b->next;
    if (--n_blobs == 0) {
        free(buckets);
        buckets = NULL;
        n_buckets = 0;
    }
}

wl_blob *wl_blob_intern(const char *bytes, size_t size)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, on_load);
    uint64_t hash = hash_of(bytes, size);
    lock_blobs();
    wl_blob *b = find_locked(bytes, size, hash);
    if (b)
        wl_blob_retain(b);
    else
        b = make_locked(bytes, size, hash);
    unlock_blobs();
    return b;
}

void wl_blob_retain(wl_blob *b) { atomic_fetch_add(&b->refs, 1); }

void wl_blob_release(wl_blob *b)
{
    uint32_t refs = atomic_load(&b->refs);
    while (refs > 1)
        if (atomic_compare_exchange_weak(&b->refs, &refs, refs - 1))
            return;
    lock_blobs();
    bool last = atomic_fetch_sub(&b->refs, 1) == 1; /* unless it was found meanwhile */
    if (last)
        unlink_locked(b);
    unlock_blobs();
    if (last)
        free(b);
}

/* ---- functions that a state knows --------------------------------------------- */

/* Two small direct-mapped caches per state: what it loaded, by the blob's hash, and
 * what it dumped, by the function's address. The newest stays. The functions stand in
 * a table at the slots' numbers; that of the dumped ones is weak, and says whether the
 * address still is the same function's. A function's bytes never change. */
enum { SLOTS = 32, ITSELF }; /* behind the slots stands the cache */
typedef struct {
    wl_blob *blobs[SLOTS];
    bool     over; /* the state is closing, later finalizers still may ask */
} cache;

/* Their addresses name the two in the registry. */
static const struct place {
    char cache, functions;
} loaded, dumped;

static void cache_clear(cache *c)
{
    for (int i = 0; i < SLOTS; i++)
        if (c->blobs[i])
            wl_blob_release(c->blobs[i]);
    memset(c->blobs, 0, sizeof c->blobs);
}

/* cache -> */
static int cache_gc(lua_State *L)
{
    cache *c = lua_touserdata(L, 1);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &loaded.cache);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &dumped.cache);
    if (!c || (c != lua_touserdata(L, -1) && c != lua_touserdata(L, -2)))
        return 0;
    cache_clear(c);
    c->over = true;
    return 0;
}

/* -> functions */
static cache *cache_make(lua_State *L, const struct place *at, const char *mode)
{
    cache *c = memset(lua_newuserdata(L, sizeof *c), 0, sizeof *c);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, cache_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    lua_createtable(L, SLOTS + 1, 0);
    lua_pushlightuserdata(L, c);
    lua_rawseti(L, -2, ITSELF);
    lua_createtable(L, 0, 1);
    lua_pushstring(L, mode);
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -2);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &at->cache); /* first, for by the other it is found */
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &at->functions);
    lua_remove(L, -2);
    return c;
}

/* -> functions | ; NULL, and nothing is pushed, when there is none. Raises nothing. */
static cache *cache_find(lua_State *L, const struct place *at)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &at->functions);
    if (!lua_istable(L, -1)) {
        lua_pop(L, 1);
        return NULL;
    }
    lua_rawgeti(L, -1, ITSELF);
    cache *c = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return c;
}

/* functions function -> functions function */
static void cache_note(lua_State *L, cache *c, int i, wl_blob *b)
{
    wl_blob *old = c->blobs[i];
    if (c->over)
        return;
    lua_pushvalue(L, -1);
    lua_rawseti(L, -3, i + 1);
    wl_blob_retain(b);
    c->blobs[i] = b;
    if (old)
        wl_blob_release(old);
}

void wl_blob_load(lua_State *L, const wl_blob *b)
{
    if (wl_loadbytes(L, b->bytes, b->size) != 0)
        lua_error(L);
}

void wl_blob_load_kept(lua_State *L, wl_blob *b)
{
    cache *c = cache_find(L, &loaded);
    int    i = (int)((b->hash >> 32) % SLOTS);
    if (!c)
        c = cache_make(L, &loaded, "");
    if (c->blobs[i] == b) {
        lua_rawgeti(L, -1, i + 1);
    } else {
        wl_blob_load(L, b);
        cache_note(L, c, i, b);
    }
    lua_remove(L, -2);
}

static int slot_of(const void *function)
{
    uint64_t h = (uintptr_t)function * UINT64_C(0x9e3779b97f4a7c15);
    return (int)((h >> 32) % SLOTS);
}

wl_blob *wl_blob_of(lua_State *L, int index)
{
    const void *function = lua_topointer(L, index);
    int         i = slot_of(function);
    wl_blob    *b = NULL;
    cache      *c = cache_find(L, &dumped);
    if (!c)
        return NULL;
    lua_rawgeti(L, -1, i + 1);
    if (c->blobs[i] && lua_topointer(L, -1) == function)
        wl_blob_retain(b = c->blobs[i]);
    lua_pop(L, 2);
    return b;
}

void wl_blob_note(lua_State *L, int index, wl_blob *b)
{
    cache *c = cache_find(L, &dumped);
    if (!c)
        c = cache_make(L, &dumped, "v");
    lua_pushvalue(L, index);
    cache_note(L, c, slot_of(lua_topointer(L, -1)), b);
    lua_pop(L, 2);
}

void wl_blob_forget(lua_State *L)
{
    cache *c = cache_find(L, &dumped);
    if (!c)
        return;
    cache_clear(c);
    lua_pop(L, 1);
}
