/* SPDX-License-Identifier: ISC
 *
 * test_cpus.c: threads = 0 is as many as CPUs may be used. Control groups are folders
 * that the test makes: what is read is the same, but for where it stands.
 */
#include "../../csrc/base/cpus.h"
#include "harness.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static unsigned threads_with(weir_pool_options opts)
{
    rig               r;
    weir_pool_options back = {.size = sizeof back};
    expect(rig_open_with(&r, &opts));
    expect_eq(weir_pool_get_options(r.p, &back), 0);
    rig_close(&r);
    return back.threads;
}

static int first_cpu(void)
{
    cpu_set_t set;
    int       cpu = 0;
    expect_eq(sched_getaffinity(0, sizeof set, &set), 0);
    while (!CPU_ISSET(cpu, &set))
        cpu++;
    return cpu;
}

static void on_one_cpu(void *arg)
{
    cpu_set_t set;
    (void)arg;
    CPU_ZERO(&set);
    CPU_SET(first_cpu(), &set);
    expect_eq(sched_setaffinity(0, sizeof set, &set), 0);
    expect_eq(threads_with(pool_of(0)), 1);
}

TEST(a_thread_that_may_run_on_one_cpu_opens_a_pool_of_one)
{
    child_reap(child_start(on_one_cpu, NULL));
}

TEST(a_pool_for_one_cpu_has_one_thread)
{
    int               cpu = first_cpu();
    uint64_t          bits[WEIR_MAX_THREADS / 64] = {0};
    weir_pool_options opts = pool_of(0);
    bits[cpu / 64] = (uint64_t)1 << cpu % 64;
    opts.cpus = bits, opts.n_cpus = WEIR_MAX_THREADS;
    expect_eq(threads_with(opts), 1);
}

TEST(a_pool_has_no_more_threads_than_cpus_that_are_there)
{
    uint64_t          bits[WEIR_MAX_THREADS / 64];
    weir_pool_options opts = pool_of(0);
    memset(bits, 0xff, sizeof bits);
    opts.cpus = bits, opts.n_cpus = WEIR_MAX_THREADS;
    expect_op(threads_with(opts), <=, sysconf(_SC_NPROCESSORS_ONLN));
}

/* ---- quotas ---------------------------------------------------------------- */

static char root[40];

static void put(const char *name, const char *text)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", root, name);
    for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = 0;
        expect(mkdir(path, 0700) == 0 || errno == EEXIST);
    }
    FILE *f = fopen(path, "we");
    expect(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static void root_begin(void)
{
    strcpy(root, "/tmp/weir-groups-XXXXXX");
    expect(mkdtemp(root) != NULL);
}

static void root_end(void)
{
    char command[60];
    snprintf(command, sizeof command, "rm -r %s", root);
    expect_eq(system(command), 0);
}

static unsigned quota_in(const char *groups)
{
    char path[60];
    put("groups", groups);
    snprintf(path, sizeof path, "%s/groups", root);
    return wi_cpu_quota(path, root);
}

TEST(the_quota_of_version_2_is_rounded_up)
{
    root_begin();
    put("box/cpu.max", "150000 100000\n");
    expect_eq(quota_in("0::/box\n"), 2);
    put("box/cpu.max", "200000 100000\n");
    expect_eq(quota_in("0::/box\n"), 2);
    put("box/cpu.max", "1000 100000\n");
    expect_eq(quota_in("0::/box\n"), 1);
    put("box/cpu.max", "max 100000\n");
    expect_eq(quota_in("0::/box\n"), 0);
    put("box/cpu.max", "9000000000000000000 1\n");
    expect_eq(quota_in("0::/box\n"), WEIR_MAX_THREADS);
    root_end();
}

TEST(the_least_quota_on_the_way_up_holds)
{
    root_begin();
    put("a/cpu.max", "300000 100000\n");
    put("a/b/cpu.max", "max 100000\n");
    put("a/b/c/cpu.max", "500000 100000\n");
    expect_eq(quota_in("0::/a/b/c\n"), 3);
    put("cpu.max", "100000 100000\n"); /* a container sees its own at the mount */
    expect_eq(quota_in("0::/a/b/c\n"), 1);
    expect_eq(quota_in("0::/\n"), 1);
    expect_eq(quota_in("0::/../../elsewhere\n"), 1);
    root_end();
}

TEST(the_quota_of_version_1_stands_in_two_files)
{
    const char *groups = "4:memory:/other\n2:cpu,cpuacct:/box\n1:cpuset:/\n0::/\n";
    root_begin();
    put("cpu/box/cpu.cfs_quota_us", "250000\n");
    put("cpu/box/cpu.cfs_period_us", "100000\n");
    expect_eq(quota_in(groups), 3);
    expect_eq(quota_in("3:cpuset:/box\n5:cpuacct:/box\n"), 0);
    put("cpu/box/cpu.cfs_quota_us", "-1\n");
    expect_eq(quota_in(groups), 0);
    root_end();
}

TEST(what_cannot_be_read_is_no_quota)
{
    root_begin();
    expect_eq(quota_in(""), 0);
    expect_eq(quota_in("0::/box\n"), 0);
    expect_eq(quota_in("nonsense\n:\n::\n0:cpu\n"), 0);
    put("cpu.max", "nonsense\n");
    expect_eq(quota_in("0::/\n"), 0);
    put("cpu.max", "100000 0\n");
    expect_eq(quota_in("0::/\n"), 0);
    expect_eq(wi_cpu_quota("/nowhere", root), 0);
    root_end();
}

TEST(this_process_has_no_more_threads_than_its_quota)
{
    unsigned quota = wi_cpu_quota("/proc/self/cgroup", "/sys/fs/cgroup");
    expect(quota == 0 || threads_with(pool_of(0)) <= quota);
}

SUITE(cpus, a_thread_that_may_run_on_one_cpu_opens_a_pool_of_one, a_pool_for_one_cpu_has_one_thread,
      a_pool_has_no_more_threads_than_cpus_that_are_there, the_quota_of_version_2_is_rounded_up,
      the_least_quota_on_the_way_up_holds, the_quota_of_version_1_stands_in_two_files,
      what_cannot_be_read_is_no_quota, this_process_has_no_more_threads_than_its_quota)
