/* SPDX-License-Identifier: ISC
 *
 * util.h: small things that every room needs.
 */
#pragma once

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "compat.h"

#pragma GCC visibility push(hidden)

/* Calls fn(lightuserdata ud) protected: 0, or the status with a message pushed. */
int wl_protect(lua_State *L, lua_CFunction fn, void *ud);

/* luaL_testudata and luaL_checkudata for the types of wl_class (state.h), without their
 * search by name: `type` must be the very string that was given there. */
void *wl_test(lua_State *L, int index, const char *type);
void *wl_check(lua_State *L, int index, const char *type);
void  wl_set_class(lua_State *L, const char *type); /* userdata -> userdata */
void  wl_require(lua_State *L, const char *type);   /* weir, where the type is not known yet */

void wl_no_argument(lua_State  *L,
                    const char *method); /* raises unless only the receiver is given */
int  wl_fail_caller(lua_State *L, const char *format, ...); /* raises at the line of the caller's */
char *wl_strdup(const char *s);
void *wl_alloc(lua_State *L, size_t size); /* zeros, to be freed; raises where there is no memory */
void  wl_stay_loaded(lua_CFunction fn); /* the module of that function, to the end of the process */

/* fd, if need be moved above those of the standard streams, which a program may have closed;
 * close-on-exec then. -1 and errno if that fails; one below 0 stays. */
int wl_fd_above(int fd);
int wl_fds_above(int fds[2]); /* of a pipe: 0, or -1, errno, and both are closed */

int64_t wl_nanoseconds(lua_Number seconds);
int64_t wl_some_nanoseconds(lua_Number seconds); /* where 0 means something else to the core */
int64_t wl_opt_nanoseconds(lua_State *L, int i); /* of the seconds there; 0: none are given */
int64_t wl_now(void);                            /* of a clock that never jumps */
int64_t wl_after(int64_t ns);                    /* that time; INT64_MAX: never, as of ns < 0 */
struct timespec wl_timespec(int64_t ns);

/* Condition variables on that clock. */
void wl_cond_init(pthread_cond_t *cond);
int  wl_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t until);

/* Results of a function, which returns what these return: how many there are. */
int wl_boolean(lua_State *L, bool b);
int wl_number(lua_State *L, lua_Number n);
int wl_integer(lua_State *L, int64_t n);
int wl_false_and(lua_State *L);            /* error -> false, error */
int wl_nil_and(lua_State *L);              /* error -> nil, error */
int wl_nil(lua_State *L, const char *why); /* -> nil, why */

#pragma GCC visibility pop
