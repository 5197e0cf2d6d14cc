/* SPDX-License-Identifier: ISC
 *
 * test_label.c: the names of tasks.
 */
#include "harness.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

TEST(one_text_is_one_label)
{
    char a[] = "import", b[] = "import", c[] = "export";
    expect(weir_label(NULL) == NULL);
    const char *label = weir_label(a);
    expect(label && label != a && strcmp(label, "import") == 0);
    expect(weir_label(b) == label);
    expect(weir_label(c) != label);
    a[0] = 'X';
    expect(strcmp(label, "import") == 0);
    expect(strcmp(weir_label(""), "") == 0);
}

TEST(when_there_is_no_room_for_a_label_there_is_none)
{
    pid_t child = child_begin(); /* which spends it all */
    if (child == 0) {
        char        text[2048], first[] = "first";
        const char *kept = weir_label(first);
        memset(text, 'x', sizeof text - 1);
        text[sizeof text - 1] = 0;
        unsigned n = 0;
        do
            snprintf(text, 16, "%15u", n++), text[15] = 'x';
        while (weir_label(text));
        expect_op(n, <, WEIR_LABEL_BYTES / sizeof text + 2);
        expect_op(n, >, WEIR_LABEL_BYTES / sizeof text / 2);
        expect(weir_label(text) == NULL);
        expect(weir_label(first) == kept); /* what was there stays */
        _exit(0);
    }
    child_reap(child);
}

enum { TEXTS = 300 };
static const char *found[2][TEXTS];

/* Both threads are here for the n-th time. */
static void meet(unsigned n)
{
    static _Atomic unsigned came;
    atomic_fetch_add(&came, 1);
    for (unsigned looks = 1; came < 2 * n; looks++)
        if (looks % 1000 == 0)
            sched_yield();
}

static void labels_all(void *row)
{
    for (int i = 0; i < TEXTS; i++) {
        char text[32];
        snprintf(text, sizeof text, "raced %d", i);
        meet((unsigned)i + 1);
        ((const char **)row)[i] = weir_label(text);
    }
}

TEST(two_threads_that_label_get_the_same)
{
    helper h;
    helper_start(&h, labels_all, found[0]);
    labels_all(found[1]);
    helper_join(&h);
    for (int i = 0; i < TEXTS; i++)
        expect(found[0][i] && found[0][i] == found[1][i]);
}

static const char *label_inside;

static int run_reads_its_label(weir_task *task, void *state)
{
    (void)state;
    label_inside = weir_task_label(task);
    return 0;
}

TEST(a_task_has_the_label_of_its_last_run)
{
    rig              r;
    probe            t = {.task = {.run = run_reads_its_label}};
    weir_run_options o = labelled("import", NULL);
    expect(rig_open(&r, 1));
    expect_eq(weir_run_with(r.p, &t.task, &o), 0);
    expect_eq(weir_wait(&t.task, -1), 0);
    expect(label_inside == o.label && weir_task_label(&t.task) == o.label);
    expect_eq(weir_run(r.p, &t.task, NULL), 0);
    expect_eq(weir_wait(&t.task, -1), 0);
    expect(label_inside == NULL);
    rig_close(&r);
}

SUITE(label, one_text_is_one_label, when_there_is_no_room_for_a_label_there_is_none,
      two_threads_that_label_get_the_same, a_task_has_the_label_of_its_last_run)
