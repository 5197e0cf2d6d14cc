/* SPDX-License-Identifier: ISC
 *
 * metrics.c: writes what an HTTP server would answer to Prometheus.
 */
#include <stdio.h>
#include <stdlib.h>
#include <weir.h>

/* The text, for free(); NULL: out of memory. A pool may come between two calls. */
static char *metrics(void)
{
    int   size = 16384, length;
    char *text = malloc(size);
    while (text && (length = weir_metrics(text, size)) >= size) {
        size = length + 1;
        free(text);
        text = malloc(size);
    }
    return text;
}

static int rests(weir_task *task, void *state) { return 0; }

int main(void)
{
    weir_pool_options opts = {.size = sizeof opts, .name = "work", .threads = 2, .measure = true};
    weir_task         task = {.run = rests};
    weir_pool        *pool;
    if (weir_pool_open(&pool, &opts) != 0)
        return 1;
    if (weir_run(pool, &task, NULL) == 0)
        weir_wait(&task, -1);
    char *text = metrics();
    fputs(text ? text : "", stdout);
    free(text);
    weir_close(pool, WEIR_CLOSE);
    weir_pool_release(pool);
    return text == NULL;
}
