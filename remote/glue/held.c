/* SPDX-License-Identifier: ISC
 *
 * held: a table of requests, which is freed when it has none. A number has its place in its low
 * bits, and above them which hold of the process it is; all of it fits the 53 bits of a Lua number.
 */
#include "held.h"

#include <pthread.h>
#include <stdlib.h>

#define PLACES ((uintptr_t)1 << 24)
#define MASK ((uintptr_t)(((uint64_t)1 << 52) - 1))

typedef struct {
    weir_request *request; /* NULL: the place is free */
    uintptr_t     number;
    size_t        next; /* the next free one + 1 */
} place;

static struct {
    pthread_mutex_t lock;
    place          *places; /* guarded by lock, as all */
    size_t          n, room, held;
    size_t          free;  /* the first one + 1; 0: none */
    uintptr_t       holds; /* so many there have been, times PLACES */
} the = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Added after the farm's own hook, and so before it: a begin takes a farm's lock inside this one.
 */
static void lock_all(void) { pthread_mutex_lock(&the.lock); }
static void unlock_all(void) { pthread_mutex_unlock(&the.lock); }

static weir_fork_hook hook = {.before = lock_all, .in_parent = unlock_all, .in_child = unlock_all};
static void           add_hook(void) { weir_on_fork(&hook); }

static bool grow_locked(void)
{
    size_t room = the.room ? the.room * 2 : 16;
    place *places = room <= PLACES ? realloc(the.places, room * sizeof *places) : NULL;
    if (!places)
        return false;
    the.places = places;
    the.room = room;
    return true;
}

static place *take_place_locked(void)
{
    place *p;
    if (the.free) {
        p = &the.places[the.free - 1];
        the.free = p->next;
        return p;
    }
    if (the.n == the.room && !grow_locked())
        return NULL;
    p = &the.places[the.n];
    the.n++;
    return p;
}

/* Never 0. */
static uintptr_t number_locked(const place *p)
{
    the.holds = (the.holds + PLACES) & MASK;
    the.holds = the.holds ? the.holds : PLACES;
    return the.holds | (uintptr_t)(p - the.places);
}

uintptr_t wb_hold(weir_request *request)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, add_hook);
    pthread_mutex_lock(&the.lock);
    place    *p = take_place_locked();
    uintptr_t number = 0;
    if (p) {
        p->request = request;
        number = p->number = number_locked(p);
        the.held++;
    }
    pthread_mutex_unlock(&the.lock);
    weir_request_set_data(request, (void *)number);
    return number;
}

static place *find_locked(uintptr_t number)
{
    size_t i = number % PLACES;
    bool   is_there = i < the.n && the.places[i].request && the.places[i].number == number;
    return is_there ? &the.places[i] : NULL;
}

int wb_begin(uintptr_t number)
{
    pthread_mutex_lock(&the.lock);
    place *p = find_locked(number);
    int    code = p ? weir_request_begin(p->request) : WEIR_ECANCELED;
    pthread_mutex_unlock(&the.lock);
    return code;
}

static void leave_locked(place *p)
{
    p->request = NULL;
    p->next = the.free;
    the.free = (size_t)(p - the.places) + 1;
    if (--the.held)
        return;
    free(the.places);
    the.places = NULL;
    the.n = the.room = the.free = 0;
}

void wb_release(weir_request *request)
{
    pthread_mutex_lock(&the.lock);
    place *p = find_locked((uintptr_t)weir_request_data(request));
    if (p)
        leave_locked(p);
    pthread_mutex_unlock(&the.lock);
    weir_request_release(request);
}
