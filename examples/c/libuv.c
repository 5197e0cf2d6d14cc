/* SPDX-License-Identifier: ISC
 *
 * libuv.c: hashes files (FNV-1a), one after the other, on a thread with a buffer
 * of its own. The watch keeps uv_run going only while weir is busy.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>
#include <weir.h>

enum { BUFFER = 1 << 16 };
static weir_pool *pool;
static weir_main *context;
static char     **path; /* of the file that is being hashed */
static uint64_t   hash;

static int  make_buffer(void *arg, void **state) { return (*state = malloc(BUFFER)) ? 0 : 1; }
static void free_buffer(void *arg, void *state) { free(state); }

static int hash_file(weir_task *task, void *buffer) /* on a worker: it may block */
{
    FILE *file = fopen(*path, "rb");
    if (!file)
        return 1;
    hash = 0xcbf29ce484222325;
    for (size_t n; (n = fread(buffer, 1, BUFFER, file)) > 0;)
        for (unsigned char *c = buffer; n > 0; n--)
            hash = (hash ^ *c++) * 0x100000001b3;
    return fclose(file);
}

static void hashed(weir_task *task) /* on the loop's thread */
{
    printf("%016" PRIx64 " %s\n", weir_task_outcome(task) == 0 ? hash : 0, *path);
    if (*++path)
        weir_run(pool, task, context); /* inside done a task may be run again */
}

static void deliver(uv_poll_t *watch, int status, int events) { weir_main_dispatch(context, 0); }
static void hold(weir_main *main, bool busy, void *watch) /* from weir_run and dispatch */
{
    busy ? uv_ref(watch) : uv_unref(watch);
}

int main(int argc, char **argv)
{
    weir_pool_options opts = {.size = sizeof opts,
                              .name = "hash",
                              .threads = 1,
                              .init = make_buffer,
                              .at_exit = free_buffer};
    weir_task         task = {.run = hash_file, .done = hashed};
    uv_poll_t         watch;
    if (argc < 2) {
        fprintf(stderr, "usage: %s FILE...\n", argv[0]);
        return 2;
    }
    if (weir_main_open(&context) != 0 || weir_pool_open(&pool, &opts) != 0)
        return 1;
    path = argv + 1;
    uv_poll_init(uv_default_loop(), &watch, weir_main_fd(context));
    uv_poll_start(&watch, UV_READABLE, deliver);
    uv_unref((uv_handle_t *)&watch);
    weir_main_on_busy(context, hold, &watch);
    weir_run(pool, &task, context);
    uv_run(uv_default_loop(), UV_RUN_DEFAULT); /* ends with the last delivery */
    weir_close(pool, WEIR_CLOSE);              /* waits for at_exit */
    weir_pool_release(pool);
    uv_poll_stop(&watch); /* before its descriptor is closed */
    return weir_main_close(context, 0);
}
