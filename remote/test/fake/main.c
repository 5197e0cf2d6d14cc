/* SPDX-License-Identifier: ISC
 *
 * main.c: the suite on the fake.
 */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>

Suite *fake_suite(void);

const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "die_after_fork=0:report_thread_leaks=0:halt_on_error=1:second_deadlock_stack=1";
}

int main(void)
{
    SRunner *runner = srunner_create(fake_suite());
    setbuf(stdout, NULL);
    printf("WEIR_SEED=%llu\n", (unsigned long long)test_seed());
    srunner_run_all(runner, getenv("CK_VERBOSITY") ? CK_ENV : CK_NORMAL);
    int bad = srunner_ntests_failed(runner);
    srunner_free(runner);
    return bad ? 1 : 0;
}
