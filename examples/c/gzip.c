/* SPDX-License-Identifier: ISC
 *
 * gzip.c: compresses the files named, two at a time, each into FILE.gz, with a buffer per thread.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weir.h>
#include <zlib.h>

enum { BUFFER = 1 << 16 };

struct file {
    weir_task   task; /* first: a task is its file */
    const char *path;
    size_t      size;
};

static int make_buffer(void *unused, void **state)
{
    return (*state = malloc(BUFFER)) ? 0 : WEIR_ENOMEM;
}

static void free_buffer(void *unused, void *buffer) { free(buffer); }

static int copy(struct file *file, FILE *from, gzFile to, char *buffer)
{
    size_t n;
    while ((n = fread(buffer, 1, BUFFER, from)) > 0) {
        if (weir_cancel_requested(&file->task))
            return WEIR_ECANCELED;
        if (gzwrite(to, buffer, (unsigned)n) != (int)n)
            return 1;
        file->size += n;
    }
    return ferror(from);
}

static int compress_file(weir_task *task, void *buffer) /* on a worker */
{
    struct file *file = (struct file *)task;
    char         name[4096];
    if (snprintf(name, sizeof name, "%s.gz", file->path) >= (int)sizeof name)
        return 1;
    FILE  *from = fopen(file->path, "rb");
    gzFile to = from ? gzopen(name, "wb") : NULL;
    int    rc = to ? copy(file, from, to, buffer) : 1;
    if (to && gzclose(to) != Z_OK)
        rc = 1;
    if (from)
        fclose(from);
    return rc;
}

int main(int argc, char **argv)
{
    weir_pool_options opts = {.size = sizeof opts, .name = "gzip", .threads = 2};
    struct file      *files = calloc((size_t)argc, sizeof *files);
    weir_pool        *pool;
    int               failed = 0;
    opts.init = make_buffer, opts.at_exit = free_buffer;
    if (!files || weir_pool_open(&pool, &opts) != 0)
        return 1;
    for (int i = 1; i < argc; i++) {
        files[i] = (struct file){.task = {.run = compress_file}, .path = argv[i]};
        weir_run(pool, &files[i].task, NULL); /* never refused: no limit is set */
    }
    for (int i = 1; i < argc; i++) { /* a task without done is waited for */
        weir_wait(&files[i].task, -1);
        int outcome = weir_task_outcome(&files[i].task);
        printf("%s: %s, %zu bytes\n", argv[i], outcome ? "failed" : "compressed", files[i].size);
        failed += outcome != 0;
    }
    weir_close(pool, WEIR_CLOSE);
    weir_pool_release(pool);
    free(files);
    return failed != 0;
}
