/* SPDX-License-Identifier: ISC
 *
 * sigterm.c: counts the letters of each line that comes in. At SIGTERM, or at the end of the
 * input, it takes no more lines, answers those that it took, and ends.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <weir.h>

struct line {
    weir_task task; /* first: a task is its line */
    char      text[256];
    size_t    letters;
};

static int told[2]; /* the handler writes to this pipe, and the loop polls it */

static void on_sigterm(int signal) { (void)!write(told[1], "", 1); }

static int count(weir_task *task, void *state) /* on a worker */
{
    struct line *line = (struct line *)task;
    line->letters = strlen(line->text);
    return 0;
}

static void answer(weir_task *task) /* on the loop's thread */
{
    struct line *line = (struct line *)task;
    printf("%s: %zu\n", line->text, line->letters);
    free(line);
}

static bool take_line(weir_pool *pool, weir_main *loop)
{
    struct line *line = calloc(1, sizeof *line);
    if (!line || !fgets(line->text, sizeof line->text, stdin))
        return free(line), false;
    line->text[strcspn(line->text, "\n")] = '\0';
    line->task = (weir_task){.run = count, .done = answer};
    return weir_run(pool, &line->task, loop) == 0 || (free(line), false);
}

static void turn(weir_pool *pool, weir_main *loop)
{
    enum { STOP, MAIN, INPUT, ALL };
    struct pollfd ready[ALL] = {{.fd = told[0], .events = POLLIN},
                                {.fd = weir_main_fd(loop), .events = POLLIN},
                                {.fd = STDIN_FILENO, .events = POLLIN}};
    for (bool serving = true; serving;) {
        if (poll(ready, ALL, -1) < 0) /* the signal itself: the pipe tells in the next turn */
            continue;
        weir_main_dispatch(loop, 0);
        serving = !ready[STOP].revents && (!ready[INPUT].revents || take_line(pool, loop));
    }
}

int main(void)
{
    weir_pool_options opts = {.size = sizeof opts, .name = "count", .threads = 2};
    weir_main        *loop;
    weir_pool        *pool;
    if (pipe(told) != 0 || fcntl(told[1], F_SETFL, O_NONBLOCK) != 0)
        return 1;
    if (weir_main_open(&loop) != 0 || weir_pool_open(&pool, &opts) != 0)
        return 1;
    setvbuf(stdin, NULL, _IONBF, 0); /* what stdio keeps, poll does not see */
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGTERM, on_sigterm);
    turn(pool, loop);
    if (weir_close_within(pool, WEIR_DRAIN, 5000000000) != 0) /* 5 s for what was accepted */
        return fputs("a line is still under way\n", stderr), weir_main_close(loop, WEIR_DETACH), 1;
    while (weir_main_pending(loop) > 0)
        weir_main_wait(loop, -1);
    puts("stopped");
    weir_pool_release(pool);
    return weir_main_close(loop, 0) != 0;
}
