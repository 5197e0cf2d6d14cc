/* SPDX-License-Identifier: ISC
 *
 * tasks.c: runs twenty tasks on pool "db", for the test of the probes. Those that are labelled
 * "even" end well, those labelled "odd" fail with 7.
 */
#include "weir.h"

static int ends(weir_task *t, void *state)
{
    (void)state;
    return weir_task_label(t)[0] == 'o' ? 7 : 0;
}

int main(void)
{
    weir_pool_options opts = {.size = sizeof opts, .name = "db", .threads = 1};
    weir_run_options  how = {.size = sizeof how};
    weir_pool        *pool;
    if (weir_pool_open(&pool, &opts) != 0)
        return 1;
    for (int i = 0; i < 20; i++) {
        weir_task t = {.run = ends};
        how.label = i % 2 ? "odd" : "even";
        if (weir_run_with(pool, &t, &how) != 0 || weir_wait(&t, -1) != 0)
            return 1;
    }
    weir_close(pool, WEIR_CLOSE);
    weir_pool_release(pool);
    return 0;
}
