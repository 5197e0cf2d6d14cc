/* SPDX-License-Identifier: ISC
 *
 * rights.c: sets of rights, and what is in them.
 */
#include "lus/rights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- layers ---------------------------------------------------------------------- */

wl_rights *wl_rights_new(wl_rights *below, wl_extent extent)
{
    wl_rights *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    atomic_init(&r->refs, 1);
    for (int i = 0; i < WL_RIGHTS; i++)
        r->of[i].extent = extent;
    if ((r->below = below))
        wl_rights_ref(below);
    return r;
}

void wl_rights_ref(wl_rights *r) { atomic_fetch_add(&r->refs, 1); }

static void free_patterns(wl_pattern *p)
{
    for (wl_pattern *next; p; p = next) {
        next = p->next;
        if (p->folder >= 0)
            close(p->folder);
        free(p);
    }
}

void wl_rights_unref(wl_rights *r)
{
    while (r && atomic_fetch_sub(&r->refs, 1) == 1) {
        wl_rights *below = r->below;
        for (int i = 0; i < WL_RIGHTS; i++)
            free_patterns(r->of[i].patterns);
        free(r);
        r = below;
    }
}

/* "/folder/" and "*" behind it */
static bool is_whole_folder(const wl_pattern *p)
{
    return p->literal > 1 && p->text[p->literal - 1] == '/' &&
           strcmp(p->text + p->literal, "*") == 0;
}

/* A layer says of each right any or none, or lists patterns; any and none stay. */
bool wl_rights_add(wl_rights *r, enum wl_right right, wl_extent extent, const char *pattern,
                   size_t literal)
{
    if (!pattern) {
        r->of[right].extent = extent;
        return true;
    }
    if (r->of[right].extent == (extent == WL_ONLY ? WL_ANY : WL_NONE))
        return true;
    wl_pattern *p = malloc(sizeof *p + strlen(pattern) + 1);
    if (!p)
        return false;
    strcpy(p->text, pattern);
    p->literal = literal;
    p->folder = -1;
    p->next = r->of[right].patterns;
    r->of[right].patterns = p;
    r->of[right].extent = extent;
    return true;
}

void wl_rights_keep(wl_rights *r, enum wl_right right, wl_keep_fn *keep)
{
    for (wl_pattern *p = r->of[right].patterns; p && r->of[right].extent == WL_ONLY; p = p->next)
        if (p->folder < 0 && is_whole_folder(p)) {
            p->text[p->literal - 1] = 0;
            p->folder = keep(p->text);
            p->text[p->literal - 1] = '/';
        }
}

/* "*" stands for anything, every other character for itself. */
static bool is_like(const char *pattern, const char *value)
{
    const char *star = NULL, *mark = NULL;
    while (*value) {
        if (*pattern == '*') {
            star = pattern++;
            mark = value;
        } else if (*pattern == *value) {
            pattern++, value++;
        } else if (star) {
            pattern = star + 1;
            value = ++mark;
        } else {
            return false;
        }
    }
    return pattern[strspn(pattern, "*")] == 0;
}

static bool matches(const wl_pattern *p, const char *value)
{
    while (p && (strncmp(p->text, value, p->literal) != 0 ||
                 !is_like(p->text + p->literal, value + p->literal)))
        p = p->next;
    return p != NULL;
}

static bool layer_has(const wl_rights *r, enum wl_right right, const char *value)
{
    switch (r->of[right].extent) {
    case WL_ANY: return true;
    case WL_NONE: return false;
    case WL_ONLY: return value && matches(r->of[right].patterns, value);
    default: return value && !matches(r->of[right].patterns, value);
    }
}

bool wl_rights_have(const wl_rights *r, enum wl_right right, const char *value)
{
    while (r && layer_has(r, right, value))
        r = r->below;
    return r == NULL;
}

/* ---- folders ---------------------------------------------------------------------- */

static size_t literal_length(const wl_pattern *p)
{
    return p->literal + strcspn(p->text + p->literal, "*");
}

/* Whether all that may ever lie below the folder is matched; whether something may be. */
static bool matches_all(const wl_pattern *p, const char *folder, size_t size)
{
    size_t n = literal_length(p);
    return strcmp(p->text + n, "*") == 0 && n <= size && strncmp(p->text, folder, n) == 0;
}

static bool matches_some(const wl_pattern *p, const char *folder, size_t size)
{
    size_t n = literal_length(p);
    if (!p->text[n])
        return n > size && strncmp(p->text, folder, size) == 0;
    return strncmp(p->text, folder, n < size ? n : size) == 0;
}

static bool layer_has_below(const wl_rights *r, enum wl_right right, const char *folder,
                            size_t size)
{
    const wl_pattern *p = r->of[right].patterns;
    switch (r->of[right].extent) {
    case WL_ANY: return true;
    case WL_NONE: return false;
    case WL_ONLY:
        while (p && !matches_all(p, folder, size))
            p = p->next;
        return p != NULL;
    default:
        while (p && !matches_some(p, folder, size))
            p = p->next;
        return p == NULL;
    }
}

bool wl_rights_have_below(const wl_rights *r, enum wl_right right, const char *folder)
{
    char   path[PATH_MAX + 1];
    size_t size = (size_t)snprintf(path, sizeof path, "%s/", folder);
    while (r && layer_has_below(r, right, path, size))
        r = r->below;
    return r == NULL;
}

/* The kept folder above the path, of this layer; NULL: none. */
static const wl_pattern *kept_above(const wl_rights *r, enum wl_right right, const char *path)
{
    const wl_pattern *p = r->of[right].extent == WL_ONLY ? r->of[right].patterns : NULL;
    while (p && (p->folder < 0 || strncmp(p->text, path, p->literal) != 0))
        p = p->next;
    return p;
}

int wl_rights_kept(const wl_rights *r, unsigned rights, const char *path, size_t *size)
{
    const wl_pattern *found = NULL;
    for (; r; r = r->below)
        for (int right = 0; right < WL_RIGHTS; right++) {
            if (!(rights & (1u << right)) || r->of[right].extent == WL_ANY)
                continue;
            const wl_pattern *p = kept_above(r, (enum wl_right)right, path);
            if (!p || (found && strcmp(p->text, found->text) != 0))
                return -1;
            found = p;
        }
    if (!found)
        return -1;
    *size = found->literal - 1;
    return found->folder;
}
