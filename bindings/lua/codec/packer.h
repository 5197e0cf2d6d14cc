/* SPDX-License-Identifier: ISC
 *
 * packer.h: the packer: what its files share.
 */
#pragma once

#include <string.h>

#include "codec/format.h"

#pragma GCC visibility push(hidden)

enum { WL_NOBODY = 0 };

typedef struct {
    const void *object;
    size_t      at;     /* where its tag is; a cell's: which upvalue */
    uint32_t    parent; /* in whose contents it was met; WL_NOBODY: it is an argument */
    uint8_t     kind;   /* its tag */
} wl_entry;

/* A key that was met, and stands in the bytes. */
typedef struct {
    uint32_t at;           /* 0: none */
    uint8_t  size, number; /* 0: once, so far */
} wl_key;

enum { WL_ROOTS = 2 };                /* stack index of the first value while packing */
enum { WL_FEW = 8, WL_LITTLE = 512 }; /* objects, and bytes of code, that need no malloc */

typedef struct {
    lua_State             *L;
    const wl_pack_options *options;
    wl_message            *m;
    wl_names              *names; /* NULL until needed */
    const void            *globals;
    int                    anchor;   /* stack index of the table of objects by number, */
    bool                   anchored; /* once there is one */
    bool                   holds;    /* it is used */
    bool                   loose;    /* something was met that neither it nor the stack holds */
    bool                   again;    /* it ended, to be begun again with it */
    uint32_t               current;  /* the object whose contents are being written */
    wl_entry              *entries;  /* by number - 1 */
    uint32_t               n_entries, max_entries;
    uint32_t              *slots; /* hash: address -> number, 0 is free */
    uint32_t               n_slots;
    int                    depth; /* of the tree that is being written */
    uint8_t                n_keys;
    wl_key                 keys[WL_MAX_KEYS]; /* by address, which is a hint */
    char                  *code;              /* bytecode on its way into a blob */
    size_t                 code_size, code_capacity;
    /* What the three point to at first. */
    wl_entry few_entries[WL_FEW];
    uint32_t few_slots[2 * WL_FEW];
    char     little_code[WL_LITTLE];
} wl_packer;

uint32_t  wl_entry_number(const wl_packer *p, const void *object);          /* 0: not met yet */
wl_entry *wl_entry_add(wl_packer *p, const void *object, enum wl_tag kind); /* the next number */
bool      wl_entry_has_contents(const wl_entry *e);
bool      wl_entry_holds_others(const wl_entry *e);

enum { WL_LONG_TEXT = 256 }; /* strings from here on are objects, see WL_TEXT */

void wl_make_room(wl_packer *p, size_t n); /* for so many bytes; raises where there is no memory */

/* For every byte of a message: as functions of another file they cost 7 % of a packing. */
static inline unsigned char *wl_put(wl_packer *p, size_t n)
{
    if (p->m->capacity - p->m->size < n)
        wl_make_room(p, n);
    unsigned char *at = p->m->bytes + p->m->size;
    p->m->size += n;
    return at;
}

static inline void wl_put_tag(wl_packer *p, enum wl_tag tag) { *wl_put(p, 1) = (unsigned char)tag; }

static inline void wl_put_field(wl_packer *p, enum wl_tag tag, const void *field, size_t size)
{
    unsigned char *at = wl_put(p, 1 + size);
    *at = (unsigned char)tag;
    memcpy(at + 1, field, size);
}

static inline bool wl_stands_for_globals(const wl_packer *p, const void *object)
{
    return object == p->globals;
}

/* Into the message, which grows; they raise where there is no memory. */
void wl_put_no_memory(wl_packer *p);
void wl_put_u32(wl_packer *p, enum wl_tag tag, uint32_t n);
void wl_put_integer(wl_packer *p, int64_t n);
void wl_put_number(wl_packer *p, int i);
void wl_put_short(wl_packer *p, enum wl_tag tag, const char *s, size_t size);
void wl_put_string(wl_packer *p, const char *s, size_t size);
void wl_put_side(wl_packer *p, enum wl_tag tag); /* the number of the next one */

wl_side *wl_side_next(wl_packer *p);        /* free: the caller fills it with what cannot fail */
void     wl_pack_hold(wl_packer *p);        /* from now on objects are held */
void     wl_pack_may_collect(wl_packer *p); /* only arguments may have been met and not held */
void     wl_put_code(wl_packer *p, enum wl_tag tag, int i); /* of the function at i */

/* Whether the function at i has nothing of its own: no upvalue but the globals, and
 * their environment where functions have one. */
bool wl_is_constant(const wl_packer *p, int i);

/* Packs n values at first, into *used if there is one, when all are plain. Raises
 * nothing; takes a few stack slots. False: *used is there as it was. */
bool wl_pack_plain(wl_packer *p, int first, int n, wl_message **used);

/* Raises "<path of the value at the top>: <why>". */
int wl_refuse(wl_packer *p, const char *why);

#pragma GCC visibility pop
