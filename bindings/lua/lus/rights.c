/* SPDX-License-Identifier: ISC
 *
 * rights.c: sets of rights, and what is in them.
 */
#include "lus/rights.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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

/* A layer says of each right any or none, or lists patterns; any and none stay. */
bool wl_rights_add(wl_rights *r, enum wl_right right, wl_extent extent, const char *pattern)
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
    p->next = r->of[right].patterns;
    r->of[right].patterns = p;
    r->of[right].extent = extent;
    return true;
}

static bool matches(const wl_pattern *p, const char *value)
{
    while (p && fnmatch(p->text, value, 0) != 0)
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

/* ---- paths ------------------------------------------------------------------------- */

bool wl_canonical_entry(const char *path, char out[PATH_MAX])
{
    char        folder[PATH_MAX];
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t      length = slash ? (size_t)(slash - path) : 0;
    if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || length >= sizeof folder)
        return false;
    memcpy(folder, path, length);
    strcpy(folder + length, length ? "" : slash ? "/" : ".");
    if (!realpath(folder, out))
        return false;
    size_t n = strlen(out);
    if (n + strlen(name) + 2 > PATH_MAX)
        return false;
    sprintf(out + n, "%s%s", n == 1 ? "" : "/", name);
    return true;
}

/* Of one that is not there. A link that leads nowhere is, but to make it is to make what
 * it leads to. */
static bool canonical_new(const char *path, char out[PATH_MAX])
{
    struct stat s;
    return wl_canonical_entry(path, out) && lstat(out, &s) != 0 && errno == ENOENT;
}

bool wl_canonical(const char *path, char out[PATH_MAX])
{
    if (realpath(path, out))
        return true;
    return errno == ENOENT && canonical_new(path, out);
}

/* One whose folder is not there stays as it is, and matches no canonical path that it
 * should not. */
void wl_canonical_pattern(const char *pattern, char out[PATH_MAX])
{
    char   folder[PATH_MAX];
    size_t plain = strcspn(pattern, "*?[\\");
    if (!pattern[plain] && wl_canonical(pattern, out))
        return;
    while (plain > 0 && pattern[plain - 1] != '/')
        plain--;
    const char *rest = pattern + plain;
    snprintf(folder, sizeof folder, "%.*s", plain ? (int)plain : 1, plain ? pattern : ".");
    if (!realpath(folder, out) || strlen(out) + strlen(rest) + 2 > PATH_MAX) {
        snprintf(out, PATH_MAX, "%s", pattern);
        return;
    }
    size_t n = strlen(out);
    sprintf(out + n, "%s%s", n == 1 ? "" : "/", rest);
}
