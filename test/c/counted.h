/* SPDX-License-Identifier: ISC
 *
 * counted.h: what gives memory to the code under test: it counts the blocks and may be refused.
 *
 * A file that includes it defines GIVEN(f), the name by which the code under test calls f,
 * REAL(f), the system's, and before the include memory_refused(), which every request asks.
 */
#include <stddef.h>
#include <string.h>

static _Atomic long live; /* blocks */

void *REAL(malloc)(size_t size);
void *REAL(calloc)(size_t n, size_t size);
void *REAL(realloc)(void *p, size_t size);
void *REAL(aligned_alloc)(size_t alignment, size_t size);
void  REAL(free)(void *p);
void *GIVEN(malloc)(size_t size);
void *GIVEN(calloc)(size_t n, size_t size);
void *GIVEN(realloc)(void *p, size_t size);
void *GIVEN(aligned_alloc)(size_t alignment, size_t size);
char *GIVEN(strdup)(const char *s);
void  GIVEN(free)(void *p);

static void *counted(void *p)
{
    live += p != NULL;
    return p;
}

void *GIVEN(malloc)(size_t size) { return memory_refused() ? NULL : counted(REAL(malloc)(size)); }

void *GIVEN(calloc)(size_t n, size_t size)
{
    return memory_refused() ? NULL : counted(REAL(calloc)(n, size));
}

void *GIVEN(realloc)(void *p, size_t size)
{
    if (memory_refused())
        return NULL;
    return p ? REAL(realloc)(p, size) : counted(REAL(realloc)(p, size));
}

void *GIVEN(aligned_alloc)(size_t alignment, size_t size)
{
    return memory_refused() ? NULL : counted(REAL(aligned_alloc)(alignment, size));
}

char *GIVEN(strdup)(const char *s)
{
    size_t size = strlen(s) + 1;
    char  *copy = GIVEN(malloc)(size);
    return copy ? memcpy(copy, s, size) : NULL;
}

void GIVEN(free)(void *p)
{
    live -= p != NULL;
    REAL(free)(p);
}
