/* SPDX-License-Identifier: ISC
 *
 * glib.c: counts lines of files on a thread; the GLib loop quits when weir is idle.
 */
#include <glib-unix.h>
#include <weir.h>

typedef struct {
    weir_task   task; /* first: a task is its count */
    const char *path;
    int         lines;
} Count;

static int count_lines(weir_task *task, void *state) /* on a worker: it may block */
{
    Count           *count = (Count *)task;
    g_autofree char *text = NULL;
    bool             ok = g_file_get_contents(count->path, &text, NULL, NULL);
    for (char *c = text; c && (c = strchr(c, '\n')); c++)
        count->lines++;
    return ok ? 0 : 1;
}

static void counted(weir_task *task) /* on the loop's thread */
{
    Count *count = (Count *)task;
    g_print("%d %s\n", weir_task_outcome(task) == 0 ? count->lines : -1, count->path);
}

static gboolean deliver(int fd, GIOCondition condition, void *context)
{
    return weir_main_dispatch(context, 0) >= 0;
}

static void hold(weir_main *context, bool busy, void *loop)
{
    if (!busy)
        g_main_loop_quit(loop);
}

int main(int argc, char **argv)
{
    weir_pool_options opts = {.size = sizeof opts, .name = "count", .threads = 1};
    g_autofree Count *counts = g_new0(Count, argc);
    g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
    weir_main *context;
    weir_pool *pool;
    if (argc < 2) {
        g_printerr("usage: %s FILE...\n", argv[0]);
        return 2;
    }
    if (weir_main_open(&context) != 0 || weir_pool_open(&pool, &opts) != 0)
        return 1;
    g_unix_fd_add(weir_main_fd(context), G_IO_IN, deliver, context);
    for (int i = 1; i < argc; i++) {
        counts[i] = (Count){{.run = count_lines, .done = counted}, argv[i], 0};
        weir_run(pool, &counts[i].task, context); /* never refused: no limit is set */
    }
    weir_main_on_busy(context, hold, loop); /* called at once: it is busy now */
    g_main_loop_run(loop);
    weir_pool_release(pool);
    return weir_main_close(context, 0);
}
