/* SPDX-License-Identifier: ISC
 *
 * command.c: os.execute and io.popen of pool threads.
 *
 * The C library's would give a command this thread's signal mask, in which nearly all
 * are blocked, the program's ignored SIGPIPE, and every descriptor that is not marked:
 * a pipe whose other end some long command holds never ends. Its popen also waits for
 * each FILE that a thread is reading from, and its system has the whole program ignore
 * SIGINT. Here a command gets an empty mask, the default SIGPIPE and descriptors 0 to 2.
 * What Lua sees is what this version's own functions give. A state may have its commands
 * keep the program's SIGPIPE, as the C library's would.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "io/io.h"
#include "weir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SHELL "/bin/sh"

extern char **environ;
extern int    posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *, int)
    __attribute__((weak));

/* ---- a command ------------------------------------------------------------- */

static const char keeps = 0; /* its address: the key in the registry */

/* -> ; commands that this state starts keep the program's SIGPIPE from now on */
static int keep_sigpipe(lua_State *L)
{
    wl_need_unrestricted(L, "keep_sigpipe");
    lua_pushboolean(L, true);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &keeps);
    return 0;
}

static bool is_kept(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &keeps);
    bool is = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return is;
}

/* core -> core */
void wl_keep_sigpipe_register(lua_State *L) { wl_method(L, "keep_sigpipe", keep_sigpipe); }

/* Where the system cannot close what it does not know: all that is open now. */
static int close_each(posix_spawn_file_actions_t *actions)
{
    DIR *open = opendir("/dev/fd");
    if (!open)
        return errno;
    int            rc = 0;
    struct dirent *entry;
    while (rc == 0 && (entry = readdir(open))) {
        int fd = atoi(entry->d_name);
        if (fd > STDERR_FILENO && fd != dirfd(open))
            rc = posix_spawn_file_actions_addclose(actions, fd);
    }
    closedir(open);
    return rc;
}

static int close_others(posix_spawn_file_actions_t *actions)
{
    if (posix_spawn_file_actions_addclosefrom_np)
        return posix_spawn_file_actions_addclosefrom_np(actions, STDERR_FILENO + 1);
    return close_each(actions);
}

static int set_signals(posix_spawnattr_t *attributes, bool keep_pipe)
{
    sigset_t none, to_default;
    sigemptyset(&none);
    sigemptyset(&to_default);
    if (!keep_pipe)
        sigaddset(&to_default, SIGPIPE);
    posix_spawnattr_setsigmask(attributes, &none);
    posix_spawnattr_setsigdefault(attributes, &to_default);
    return posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

/* The command's descriptor `to` is a copy of `from`; negative: none. 0, or an errno. */
static int start_command(lua_State *L, const char *command, int from, int to, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t          attributes;
    char *const                arguments[] = {"sh", "-c", (char *)command, NULL};
    int                        rc = posix_spawn_file_actions_init(&actions);
    if (rc != 0)
        return rc;
    rc = posix_spawnattr_init(&attributes);
    if (rc == 0) {
        rc = set_signals(&attributes, is_kept(L));
        if (rc == 0 && from >= 0)
            rc = posix_spawn_file_actions_adddup2(&actions, from, to);
        if (rc == 0)
            rc = close_others(&actions);
        if (rc == 0) {
            weir_restore_policy(); /* which the command inherits */
            rc = posix_spawn(pid, SHELL, &actions, &attributes, arguments, environ);
        }
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return rc;
}

/* A signal that cancels does not end it: the command would be left to nobody.
 * What waitpid tells of it, or -1 and errno. */
static int wait_for(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return status;
}

/* ---- results --------------------------------------------------------------- */

/* -> nil, message, errno */
static int push_errno(lua_State *L, const char *what)
{
    int error = errno;
    lua_pushnil(L);
    if (what)
        lua_pushfstring(L, "%s: %s", what, strerror(error));
    else
        lua_pushstring(L, strerror(error));
    lua_pushinteger(L, error);
    return 3;
}

/* Of 5.2 and of a LuaJIT that is built to be like it.
 *
 * -> true | nil, "exit" | "signal", number */
static int push_status(lua_State *L, int status)
{
    if (status == -1)
        return push_errno(L, NULL);
    bool signalled = WIFSIGNALED(status);
    int  number = signalled ? WTERMSIG(status) : WEXITSTATUS(status);
    if (status == 0)
        lua_pushboolean(L, true);
    else
        lua_pushnil(L);
    lua_pushstring(L, signalled ? "signal" : "exit");
    lua_pushinteger(L, number);
    return 3;
}

/* ---- os.execute ------------------------------------------------------------ */

static int run_command(lua_State *L, const char *command)
{
    pid_t pid;
    errno = start_command(L, command, -1, -1, &pid);
    return errno == 0 ? wait_for(pid) : -1;
}

/* Upvalue 1: whether it returns what 5.2's does.
 *
 * [command] -> as os.execute */
static int execute(lua_State *L)
{
    const char *command = luaL_optstring(L, 1, NULL);
    bool        like_52 = lua_toboolean(L, lua_upvalueindex(1));
    if (command && like_52)
        return push_status(L, run_command(L, command));
    if (command)
        lua_pushinteger(L, run_command(L, command));
    else if (like_52)
        lua_pushboolean(L, access(SHELL, X_OK) == 0);
    else
        lua_pushinteger(L, access(SHELL, X_OK) == 0);
    return 1;
}

/* os -> os */
static void register_execute(lua_State *L, bool like_52)
{
    lua_pushboolean(L, like_52);
    lua_pushcclosure(L, execute, 1);
    lua_setfield(L, -2, "execute");
}

/* ---- io.popen -------------------------------------------------------------- */

static int make_pipe(int ends[2])
{
#ifdef __APPLE__
    if (pipe(ends) != 0 || wl_fds_above(ends) != 0)
        return -1;
    return fcntl(ends[0], F_SETFD, FD_CLOEXEC) | fcntl(ends[1], F_SETFD, FD_CLOEXEC);
#else
    return pipe2(ends, O_CLOEXEC) == 0 ? wl_fds_above(ends) : -1;
#endif
}

/* NULL: errno says why. */
static FILE *open_pipe(lua_State *L, const char *command, bool reads, pid_t *pid)
{
    int ends[2], error = 0;
    if (make_pipe(ends) != 0)
        return NULL;
    int   ours = ends[reads ? 0 : 1], its = ends[reads ? 1 : 0];
    FILE *file = fdopen(ours, reads ? "r" : "w");
    error =
        file ? start_command(L, command, its, reads ? STDOUT_FILENO : STDIN_FILENO, pid) : errno;
    close(its);
    if (error == 0)
        return reads ? wl_stream_wrap(file, "r") : file;
    if (file)
        fclose(file);
    else
        close(ours);
    errno = error;
    return NULL;
}

#if LUA_VERSION_NUM >= 502

typedef struct {
    luaL_Stream stream; /* first: it is a file to Lua */
    pid_t       pid;
} command_file;

/* file -> as the close of one from io.popen */
static int close_command(lua_State *L)
{
    command_file *c = luaL_checkudata(L, 1, LUA_FILEHANDLE);
    fclose(c->stream.f);
    return push_status(L, wait_for(c->pid));
}

static bool is_mode(const char *mode) { return strcmp(mode, "r") == 0 || strcmp(mode, "w") == 0; }

/* 5.2 leaves it to the C library. */
static void check_mode(lua_State *L, const char *mode)
{
    luaL_argcheck(L, LUA_VERSION_NUM == 502 || is_mode(mode), 2, "invalid mode");
}

/* command [mode] -> as io.popen */
static int popen_clean(lua_State *L)
{
    const char *command = luaL_checkstring(L, 1), *mode = luaL_optstring(L, 2, "r");
    check_mode(L, mode);
    command_file *c = lua_newuserdata(L, sizeof *c);
    c->stream.closef = NULL; /* closed, so far */
    luaL_setmetatable(L, LUA_FILEHANDLE);
    errno = EINVAL;
    c->stream.f = is_mode(mode) ? open_pipe(L, command, *mode == 'r', &c->pid) : NULL;
    if (!c->stream.f)
        return push_errno(L, command);
    c->stream.closef = close_command;
    return 1;
}

/* -> ; in a new state of ours */
void wl_command_register(lua_State *L)
{
    lua_getglobal(L, "os");
    register_execute(L, true);
    lua_getglobal(L, "io");
    wl_method(L, "popen", popen_clean);
    lua_pop(L, 2);
}

#else

/* Nobody but io makes files here, and LuaJIT's tell nothing of themselves. But all of
 * them begin with the FILE. So one that io.open made gets another, and who closes it is
 * asked for its command: `commands` is a table, file -> pid, with weak keys. */

/* Upvalue 1 is the original close, or __gc, 2 is `commands`, 3 whether a command's close
 * returns what 5.2's does.
 *
 * [file] -> as the original */
static int close_file(lua_State *L)
{
    pid_t pid = 0;
    if (lua_isuserdata(L, 1)) {
        lua_pushvalue(L, 1);
        lua_rawget(L, lua_upvalueindex(2));
        pid = (pid_t)lua_tointeger(L, -1);
        lua_pop(L, 1);
        lua_pushvalue(L, 1);
        lua_pushnil(L);
        lua_rawset(L, lua_upvalueindex(2));
    }
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    if (pid == 0)
        return lua_gettop(L);
    int status = wait_for(pid);
    if (lua_toboolean(L, lua_upvalueindex(3)))
        return push_status(L, status);
    return status != -1 ? lua_gettop(L) : push_errno(L, NULL);
}

/* Upvalue 1 is the original io.open, 2 is `commands`.
 *
 * command [mode] -> as io.popen */
static int popen_clean(lua_State *L)
{
    const char *command = luaL_checkstring(L, 1), *mode = luaL_optstring(L, 2, "r");
    errno = EINVAL;
    if (*mode != 'r' && *mode != 'w')
        return push_errno(L, command);
    lua_settop(L, 2);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushliteral(L, "/dev/null");
    lua_pushlstring(L, mode, 1);
    lua_call(L, 2, LUA_MULTRET);
    FILE **slot = lua_touserdata(L, 3);
    if (!slot) {
        errno = (int)lua_tointeger(L, -1);
        return push_errno(L, command);
    }
    lua_settop(L, 3);
    lua_pushvalue(L, 3);
    lua_pushinteger(L, 0);
    lua_rawset(L, lua_upvalueindex(2)); /* the room for it: nothing below raises */
    pid_t pid;
    FILE *file = open_pipe(L, command, *mode == 'r', &pid);
    if (!file)
        return push_errno(L, command);
    fclose(*slot);
    *slot = file;
    lua_pushvalue(L, 3);
    lua_pushinteger(L, pid);
    lua_rawset(L, lua_upvalueindex(2));
    return 1;
}

/* A LuaJIT built so has table.pack. */
static bool is_like_52(lua_State *L)
{
    lua_getglobal(L, "table");
    lua_getfield(L, -1, "pack");
    bool is = lua_isfunction(L, -1);
    lua_pop(L, 2);
    return is;
}

/* commands table -> commands table; the field's function is the new one's upvalue */
static void wrap_close(lua_State *L, const char *name, const char *from, lua_CFunction fn)
{
    lua_getfield(L, -1, from);
    lua_pushvalue(L, -3);
    lua_pushboolean(L, is_like_52(L));
    lua_pushcclosure(L, fn, 3);
    lua_setfield(L, -2, name);
}

/* -> ; in a new state of ours */
void wl_command_register(lua_State *L)
{
    lua_getglobal(L, "os");
    register_execute(L, is_like_52(L));
    lua_newtable(L);
    lua_newtable(L);
    lua_pushliteral(L, "k");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    luaL_getmetatable(L, LUA_FILEHANDLE);
    wrap_close(L, "close", "close", close_file);
    wrap_close(L, "__gc", "__gc", close_file);
    lua_pop(L, 1);
    lua_getglobal(L, "io");
    wrap_close(L, "close", "close", close_file);
    wrap_close(L, "popen", "open", popen_clean);
    lua_pop(L, 3);
}

#endif
