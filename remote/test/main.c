/* SPDX-License-Identifier: ISC
 *
 * main.c: runs the suites named as arguments, or all of them.
 */
#include "server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
#define SUITES(X) \
    X(url) X(rooms) X(options) X(local) X(handlers) X(limits) X(loop) X(loop_race) X(closing) X(frames) X(trace) X(sweep) \
    X(desk) X(outbox)
#define SERVER_SUITES(X) \
    X(served) X(lost) X(tls) X(programs) X(hostile) X(chaos) X(restart) X(held)
/* clang-format on */

#define DECLARE(room) Suite *room##_suite(void);
SUITES(DECLARE)
SERVER_SUITES(DECLARE)

#define ROW(room) {#room, false, room##_suite},
#define SERVER_ROW(room) {#room, true, room##_suite},
static const struct {
    const char *name;
    bool        server;
    Suite *(*make)(void);
} all[] = {SUITES(ROW) SERVER_SUITES(SERVER_ROW)};

/* As in the core's tests: a forked child starts threads of its own. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "die_after_fork=0:report_thread_leaks=0:halt_on_error=1:second_deadlock_stack=1";
}

int main(int argc, char **argv)
{
    SRunner *runner = srunner_create(NULL);
    int      chosen = 0;
    bool     server = false;
    if (argc > 1 && !strcmp(argv[1], "--worker"))
        return worker_main(argc, argv);
    setbuf(stdout, NULL);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (argc < 2 || !strcmp(argv[1], all[i].name)) {
            srunner_add_suite(runner, all[i].make());
            server |= all[i].server;
            chosen++;
        }
    if (!chosen) {
        fprintf(stderr, "no such suite: %s\n", argv[1]);
        return 2;
    }
    printf("WEIR_SEED=%llu\n", (unsigned long long)test_seed());
    if (server) {
        server_begin();
        test_before = server_empty;
    }
    srunner_run_all(runner, getenv("CK_VERBOSITY") ? CK_ENV : CK_NORMAL);
    int bad = srunner_ntests_failed(runner);
    srunner_free(runner);
    if (server)
        server_end();
    return bad ? 1 : 0;
}
