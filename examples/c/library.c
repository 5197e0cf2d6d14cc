/* SPDX-License-Identifier: ISC
 *
 * library.c: a library that owns a pool, and a program that need not know. The pool is lazy: it
 * costs no thread until the first call, nor a second after the last one.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <weir.h>

/* ---- the library: counts words off the caller's thread ----------------------------- */

struct words {
    weir_task   task; /* first: a task is its words */
    const char *text;
    int         count;
};

static weir_pool     *pool;
static int            opened = WEIR_EAGAIN;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void open_pool(void)
{
    weir_pool_options opts = {.size = sizeof opts, .name = "words", .threads_max = 2};
    opts.lazy = true, opts.idle_ns = 1000000000;
    opened = weir_pool_open(&pool, &opts);
}

static int count(weir_task *task, void *state) /* on a worker */
{
    struct words *words = (struct words *)task;
    for (const char *at = words->text; *(at += strspn(at, " ")); at += strcspn(at, " "))
        words->count++;
    return 0;
}

/* Counts, then has words->task.done called by a dispatch of loop. 0, or a code of weir. */
static int words_count(struct words *words, weir_main *loop)
{
    pthread_once(&once, open_pool);
    words->task.run = count;
    return opened ? opened : weir_run(pool, &words->task, loop);
}

/* Before the program ends, or unloads the library. */
static void words_close(void)
{
    if (opened == 0)
        weir_close(pool, WEIR_DRAIN), weir_pool_release(pool);
}

static unsigned words_threads(void)
{
    weir_pool_stats now = {.size = sizeof now};
    pthread_once(&once, open_pool);
    weir_pool_get_stats(pool, &now);
    return now.threads;
}

/* ---- a program that uses it ---------------------------------------------------------- */

static void counted(weir_task *task)
{
    struct words *words = (struct words *)task;
    printf("%d words, counted by one of %u threads\n", words->count, words_threads());
}

int main(void)
{
    struct words words = {.task = {.done = counted}, .text = "a pool costs nothing while unused"};
    weir_main   *loop;
    if (weir_main_open(&loop) != 0)
        return 1;
    printf("before the first call: %u threads\n", words_threads());
    int rc = words_count(&words, loop);
    while (rc == 0 && weir_main_pending(loop) > 0)
        weir_main_wait(loop, -1);
    words_close();
    return weir_main_close(loop, 0) != 0 || rc != 0;
}
