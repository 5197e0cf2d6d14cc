/* SPDX-License-Identifier: ISC
 *
 * uv_work.c: counts the words of files, by the calls of uv_queue_work on a pool of its own.
 * libuv's threads stay free for files and names.
 */
#include <ctype.h>
#include <stdio.h>
#include <weir_uv.h>

struct count {
    uv_work_t   req; /* first: a request is its count */
    const char *path;
    size_t      words;
};

static void count(uv_work_t *req) /* on a thread of the pool: it may block */
{
    struct count *c = (struct count *)req;
    FILE         *file = fopen(c->path, "rb");
    if (!file)
        return;
    for (int now, before = ' '; (now = getc(file)) != EOF; before = now)
        c->words += !isspace(now) && isspace(before);
    fclose(file);
}

static void counted(uv_work_t *req, int status) /* on the loop's thread */
{
    struct count *c = (struct count *)req;
    printf("%s: %zu words\n", c->path, status == 0 ? c->words : 0);
    free(c);
}

static weir_pool *pool;

int main(int argc, char **argv)
{
    weir_pool_options opts = {.size = sizeof opts, .name = "words", .threads = 1};
    if (weir_pool_open(&pool, &opts) != 0)
        return 1;
    for (int i = 1; i < argc; i++) {
        struct count *c = calloc(1, sizeof *c);
        if (!c)
            return 1;
        c->path = argv[i];
        if (weir_uv_queue_work(pool, uv_default_loop(), &c->req, count, counted) != 0)
            return 1;
    }
    uv_run(uv_default_loop(), UV_RUN_DEFAULT); /* ends with the last request */
    weir_close(pool, WEIR_CLOSE);
    weir_pool_release(pool);
    return uv_loop_close(uv_default_loop());
}
