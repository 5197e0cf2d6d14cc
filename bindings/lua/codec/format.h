/* SPDX-License-Identifier: ISC
 *
 * format.h: what a message looks like, for the two sides of the codec.
 *
 * The bytes are the values, one after the other, then the contents of the objects
 * among them in the order in which they were first met; objects first met in there
 * go to the end of the line. But the contents of a table that is not deep in others
 * come at once, while they are in the caches, and the reader need not keep it. So
 * neither side recurses further than WL_MAX_DEPTH, however deep the tables.
 *
 *   value    = tag, fixed-size fields in host order, a string's bytes
 *   object   = a value with a number: each first mention of one takes the next
 *              number, counted from 1, later mentions are REFERENCE number
 *   contents = of TABLE, TREE: items (value: at the next index; GAP; PAIR key value;
 *              METATABLE value) until END. A key may also be a KEY: one that is met the
 *              second time is a NEW_KEY and takes the next number, of keys, from 1.
 *              Of FUNCTION: its environment where the
 *              version has one, then per upvalue: CELL value (takes a number too),
 *              SAME_CELL number index, or a plain value; until END.
 *              Other objects have none.
 *
 * Bytecode and pointers are in the side array; the bytes only index it. The reader
 * trusts no byte: tags, numbers and lengths are checked where they are read.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "codec/codec.h"
#include "compat.h"

#pragma GCC visibility push(hidden)

enum wl_tag {
    WL_NIL,
    WL_FALSE,
    WL_TRUE,
    WL_INT8,
    WL_INT32,
    WL_INT64,
    WL_FLOAT,
    WL_STRING8,   /* u8 length */
    WL_STRING,    /* u64 length */
    WL_REFERENCE, /* u32 number */
    WL_GLOBALS,
    WL_LIGHT, /* u32 side */
    /* Objects with contents. */
    WL_TABLE,    /* u32, u32: items and pairs to come, as a hint */
    WL_FUNCTION, /* u32 side */
    /* Objects whose contents are part of them, or that have none. */
    WL_TREE,       /* u32, u32: as TABLE */
    WL_CONSTANT,   /* u32 side; a function that holds nothing but the globals */
    WL_TEXT,       /* u64 length; a long string, so that it crosses once */
    WL_HANDLE,     /* u32 side */
    WL_MODULE,     /* u8 count, that many strings: the name, then the path in it */
    WL_REGISTERED, /* the same */
    /* In contents only. */
    WL_GAP, /* u32: so many indices are nil */
    WL_PAIR,
    WL_NEW_KEY, /* u8 length */
    WL_KEY,     /* u8 number */
    WL_METATABLE,
    WL_CELL,
    WL_SAME_CELL, /* u32 number, u8: the cell, and which upvalue of its function it is */
    WL_END,
    /* Added to the tag of an object of the second kind that is referred to later. */
    WL_NEEDED = 0x80
};

enum { WL_MAX_PATH = 4 };   /* a module's name and the keys below it */
enum { WL_MAX_DEPTH = 16 }; /* of trees in trees */
enum { WL_MAX_KEYS = 32 };  /* with numbers */

/* ---- bytecode: equal bytes are held once in the process, see codec/blob.c --- */

typedef struct wl_blob wl_blob;
struct wl_blob {
    wl_blob         *next; /* in its bucket; guarded by the table's lock */
    uint64_t         hash;
    _Atomic uint32_t refs;
    size_t           size;
    char             bytes[];
};

wl_blob *wl_blob_intern(const char *bytes, size_t size); /* one reference; NULL: no memory */
void     wl_blob_retain(wl_blob *b);
void     wl_blob_release(wl_blob *b);

/* The blob of the function at index, with one reference, when this state dumped it not
 * long ago; else NULL. Raises nothing; takes three stack slots. */
wl_blob *wl_blob_of(lua_State *L, int index);
/* Remembers b for that. May raise. */
void wl_blob_note(lua_State *L, int index, wl_blob *b);
/* Forgets them all: what crossed by copy may have a name now. Raises nothing. */
void wl_blob_forget(lua_State *L);

/* -> function. May raise. The constant ones are kept in the state: to load bytecode
 * costs more than a small call, and LuaJIT compiles what it has loaded, once. */
void wl_blob_load(lua_State *L, const wl_blob *b);
void wl_blob_load_kept(lua_State *L, wl_blob *b);

/* ---- messages --------------------------------------------------------------- */

typedef struct {
    enum { WL_SIDE_LIGHT, WL_SIDE_BLOB, WL_SIDE_HANDLE } kind;
    const wl_handle_type *type; /* of a handle */
    void                 *p;    /* a reference of the message's, unless it is light */
} wl_side;

/* Bytes: at first; that may be more than is needed; from which on they are mapped; to be
 * used again at most. */
enum {
    WL_SMALL_CAPACITY = 104,
    WL_LOOSE_CAPACITY = 4096,
    WL_MAPPED_CAPACITY = 1 << 20,
    WL_KEPT_CAPACITY = 1 << 24
};

struct wl_message {
    int n;      /* values */
    int number; /* of the first, as in wl_pack_options; like `what` for errors of the reader */
    const char   *what;
    bool          restricted; /* as in wl_pack_options */
    bool          plain;      /* it was packed in the short way, see codec/plain.c */
    uint32_t      n_sides, max_sides;
    wl_side      *sides;
    size_t        size, capacity; /* of bytes */
    unsigned char bytes[];
};

wl_message *wl_message_new(void);                              /* without values; NULL: no memory */
wl_message *wl_message_resize(wl_message *m, size_t capacity); /* NULL: m is as it was */
wl_message *wl_message_fit(wl_message *m); /* it is complete: gives back what is left over */

/* ---- names: what is found in modules and among the registered --------------- */

typedef struct wl_names wl_names;

/* This state's, made on demand and brought up to date. May raise. */
wl_names *wl_names_get(lua_State *L);
/* -> the path's strings, the module's or registered name first; how many: 0 when
 * it has none. *tag: WL_MODULE or WL_REGISTERED. May raise. */
int wl_names_find(lua_State *L, wl_names *names, const void *object, enum wl_tag *tag);
/* -> value | why there is none; whether there is. May raise. loaded: only what is there already. */
bool wl_names_push(lua_State *L, enum wl_tag tag, int first, int count, bool loaded);

/* key value -> the same: whether a new state has this there, in the module; "": as a
 * module. What a new state has is told by its C function, else by its name alone. Any
 * thread; raises nothing. */
bool wl_stock_has(lua_State *L, const char *module);

/* userdata at index -> its handle type, or NULL. Pushes nothing. */
const wl_handle_type *wl_handle_type_of(lua_State *L, int index);

#pragma GCC visibility pop
