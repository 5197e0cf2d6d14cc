/* SPDX-License-Identifier: ISC
 *
 * main.c: runs the suites named as arguments, or all of them.
 */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
#define SUITES(X) \
    X(task) X(run_fn) X(wait) X(queue) X(full) X(policy) X(deadline) X(main) X(main_wait) X(lots) X(delivery) X(taken) X(main_close) X(notice) \
    X(busy) X(call) X(serve) X(deadlock) X(stuck) X(pool) X(options) X(cpus) X(grow) X(turns) X(lazy) X(lazy_lent) X(lazy_retire) X(spare) X(measure) \
    X(metrics) X(publish) X(close) X(ends) X(release) X(hold) X(unload) X(park) X(abandon) X(borrowed) X(lend) X(at_fork) X(fork) X(fork_main) X(fork_inside) X(fork_ends) X(fork_count) X(fork_twice) \
    X(signals) X(spawning) X(nature) X(patience) X(limits) X(sandbox) X(seen) X(label) X(late) X(watch) X(record) X(rings) X(perfetto) X(rooms) X(stress) X(sweep)
/* clang-format on */

#define DECLARE(room) Suite *room##_suite(void);
SUITES(DECLARE)

#define ROW(room) {#room, room##_suite},
static const struct {
    const char *name;
    Suite *(*make)(void);
} all[] = {SUITES(ROW)};

static bool wanted(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return true;
    return argc < 2;
}

/* A forked child of a test starts threads of its own, and has lost its parent's:
 * TSan would refuse. That no thread leaks, the harness sees to. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "die_after_fork=0:report_thread_leaks=0:halt_on_error=1:second_deadlock_stack=1";
}

int main(int argc, char **argv)
{
    if (program_was_run())
        return 0;
    SRunner *runner = srunner_create(NULL);
    int      chosen = 0;
    setbuf(stdout, NULL);
    setenv("TMPDIR", "/tmp", 0);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (wanted(all[i].name, argc, argv)) {
            srunner_add_suite(runner, all[i].make());
            chosen++;
        }
    if (!chosen) {
        fprintf(stderr, "no such suite: %s\n", argv[1]);
        return 2;
    }
    printf("WEIR_SEED=%llu\n", (unsigned long long)test_seed());
    srunner_run_all(runner, getenv("CK_VERBOSITY") ? CK_ENV : CK_NORMAL);
    int bad = srunner_ntests_failed(runner);
    srunner_free(runner);
    return bad ? 1 : 0;
}
