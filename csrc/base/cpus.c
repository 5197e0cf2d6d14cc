/* SPDX-License-Identifier: ISC
 *
 * cpus.c: how many CPUs a pool may use.
 *
 * Three things bound it: the CPUs that its options name, else those that the opening
 * thread may run on; and the time that a control group gives, for a container of two
 * CPUs' worth on a host of 64 is no place for 64 threads. The kernel counts that time
 * for the group and for each group around it, so the least quota on the way up holds.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "base/cpus.h"

#include "base/platform.h"

#include "weir.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- what a thread may run on --------------------------------------------- */

static unsigned online(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > (long)WEIR_MAX_THREADS ? WEIR_MAX_THREADS : (unsigned)n;
}

/* The calling thread's; where the system does not say, all that are there. */
static unsigned affinity(void)
{
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return (unsigned)CPU_COUNT(&set);
#endif
    return online();
}

static unsigned count_bits(const uint64_t *bits, unsigned n)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < n; i++)
        sum += bits[i / 64] >> i % 64 & 1;
    return sum;
}

static unsigned at_most(unsigned n, unsigned limit) { return limit && limit < n ? limit : n; }

bool wi_has_cpus(void) { return affinity() > 1; }

/* ---- the quota of a control group ------------------------------------------- */

/* CPUs that `quota` of each `period` is worth, rounded up; 0: no limit. */
static unsigned worth(long long quota, long long period)
{
    if (quota <= 0 || period <= 0)
        return 0;
    long long whole = quota / period + (quota % period != 0);
    return whole > WEIR_MAX_THREADS ? WEIR_MAX_THREADS : (unsigned)whole;
}

static bool slurp(const char *path, char *text, size_t size)
{
    int     fd = wi_fd_above(open(path, O_RDONLY | O_CLOEXEC));
    ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);
    if (fd >= 0)
        close(fd);
    text[n < 0 ? 0 : n] = 0;
    return n > 0;
}

static bool slurp_in(const char *dir, const char *name, char *text, size_t size)
{
    char path[1200];
    int  n = snprintf(path, sizeof path, "%s/%s", dir, name);
    return n > 0 && (size_t)n < sizeof path && slurp(path, text, size);
}

/* Version 2 has both numbers in one file, "max" for no limit; version 1 has two, and -1. */
static unsigned quota_at(const char *dir)
{
    char      text[64], other[64];
    long long quota = 0, period = 0;
    if (slurp_in(dir, "cpu.max", text, sizeof text))
        return sscanf(text, "%lld %lld", &quota, &period) == 2 ? worth(quota, period) : 0;
    if (!slurp_in(dir, "cpu.cfs_quota_us", text, sizeof text) ||
        !slurp_in(dir, "cpu.cfs_period_us", other, sizeof other))
        return 0;
    bool both = sscanf(text, "%lld", &quota) == 1 && sscanf(other, "%lld", &period) == 1;
    return both ? worth(quota, period) : 0;
}

static unsigned least(unsigned a, unsigned b) { return a && (!b || a < b) ? a : b; }

/* Of `group` below `mount` and of all around it. */
static unsigned quota_up(const char *mount, const char *group)
{
    char     dir[1100];
    unsigned n = 0;
    if ((size_t)snprintf(dir, sizeof dir, "%s%s", mount, group) >= sizeof dir)
        return quota_at(mount);
    for (char *end = dir + strlen(dir); end; end = strrchr(dir + strlen(mount), '/')) {
        *end = 0;
        n = least(n, quota_at(dir));
    }
    return n;
}

static bool names_cpu(const char *controllers)
{
    for (const char *c = controllers; (c = strstr(c, "cpu")); c += 3)
        if ((c == controllers || c[-1] == ',') && (c[3] == ',' || c[3] == 0))
            return true;
    return false;
}

/* "number:controllers:group", version 2 without controllers. A group that is outside of
 * what we can see has "..": the mount itself is then all that bounds us. */
static unsigned quota_of_line(const char *root, char *line)
{
    char  mount[256];
    char *controllers = strchr(line, ':');
    char *group = controllers ? strchr(++controllers, ':') : NULL;
    if (!group)
        return 0;
    *group++ = 0;
    if (*controllers && !names_cpu(controllers))
        return 0;
    snprintf(mount, sizeof mount, "%s%s", root, *controllers ? "/cpu" : "");
    return quota_up(mount, strstr(group, "/..") ? "" : group);
}

unsigned wi_cpu_quota(const char *groups, const char *root)
{
    char     text[4096], *rest = NULL;
    unsigned n = 0;
    if (!slurp(groups, text, sizeof text))
        return 0;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        n = least(n, quota_of_line(root, line));
    return n;
}

/* ---- together ----------------------------------------------------------------- */

unsigned wi_cpus(const uint64_t *cpus, unsigned n_cpus)
{
    unsigned n = n_cpus ? at_most(count_bits(cpus, n_cpus), online()) : affinity();
#ifdef __linux__
    n = at_most(n, wi_cpu_quota("/proc/self/cgroup", "/sys/fs/cgroup"));
#endif
    return n ? at_most(n, WEIR_MAX_THREADS) : 1;
}
