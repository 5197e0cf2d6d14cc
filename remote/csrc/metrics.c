/* SPDX-License-Identifier: ISC
 *
 * metrics: the statistics of farms in Prometheus' text format.
 */
#include "farm.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct {
    char  *bytes;
    size_t size, n; /* n: of the whole text, also of what does not fit */
} text;

static const struct {
    const char *name, *help;
    size_t      at; /* in weir_remote_stats */
    enum { FLAG, GAUGE, COUNTER } kind;
} metrics[] = {
#define AT(field) offsetof(weir_remote_stats, field)
    {"connected", "Whether a client or a worker has its connections.", AT(connected), FLAG},
    {"in_flight", "Jobs without an outcome.", AT(in_flight), GAUGE},
    {"waiting", "Jobs not handed to the server.", AT(waiting), GAUGE},
    {"requests", "Requests taken and not finished.", AT(requests), GAUGE},
    {"submitted_total", "Jobs run.", AT(submitted), COUNTER},
    {"settled_total", "Jobs with their outcome.", AT(settled), COUNTER},
    {"published_total", "Jobs published.", AT(published), COUNTER},
    {"confirmed_total", "Jobs that the server has confirmed.", AT(confirmed), COUNTER},
    {"republished_total", "Jobs published once more.", AT(republished), COUNTER},
    {"duplicates_total", "Answers to a job that had its outcome.", AT(duplicates), COUNTER},
    {"refused_total", "Messages that were not of the expected form.", AT(refused), COUNTER},
    {"served_total", "Requests finished.", AT(served), COUNTER},
    {"connects_total", "Connections made.", AT(connects), COUNTER},
#undef AT
};

static void add_text(text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add_text(text *t, const char *format, ...)
{
    va_list args;
    size_t  room = t->n < t->size ? t->size - t->n : 0;
    va_start(args, format);
    int n = vsnprintf(room ? t->bytes + t->n : NULL, room, format, args);
    va_end(args);
    t->n += n > 0 ? (size_t)n : 0;
}

static void add_escaped(text *t, const char *value)
{
    for (; *value; value++) {
        if (*value == '\\' || *value == '"')
            add_text(t, "\\");
        add_text(t, *value == '\n' ? "\\n" : "%c", *value);
    }
}

static unsigned long long value_of(const weir_remote_stats *s, size_t metric)
{
    const char *at = (const char *)s + metrics[metric].at;
    switch (metrics[metric].kind) {
    case FLAG: return *(const bool *)(const void *)at;
    case GAUGE: return *(const size_t *)(const void *)at;
    default: return *(const uint64_t *)(const void *)at;
    }
}

static void add_metric(text *t, size_t metric, weir_remote *const *farms,
                       const weir_remote_stats *stats, size_t n)
{
    const char *name = metrics[metric].name;
    add_text(t, "# HELP weir_remote_%s %s\n# TYPE weir_remote_%s %s\n", name, metrics[metric].help,
             name, metrics[metric].kind == COUNTER ? "counter" : "gauge");
    for (size_t i = 0; i < n; i++) {
        add_text(t, "weir_remote_%s{farm=\"", name);
        add_escaped(t, farms[i]->url.shown);
        add_text(t, "\",number=\"%zu\"} %llu\n", i, value_of(&stats[i], metric));
    }
}

static int read_stats(weir_remote *const *farms, weir_remote_stats *stats, size_t n)
{
    int code = 0;
    for (size_t i = 0; !code && i < n; i++) {
        stats[i].size = sizeof stats[i];
        code = weir_remote_get_stats(farms[i], &stats[i]);
    }
    return code;
}

int weir_remote_metrics(weir_remote *const *farms, size_t n, char *buffer, size_t size)
{
    text t = {buffer, size, 0};
    if (!farms || !n || (size && !buffer))
        return wr_fail(WEIR_EINVAL, "weir_remote_metrics: farms or buffer is NULL, or n is 0");
    weir_remote_stats *stats = calloc(n, sizeof *stats);
    if (!stats)
        return wr_fail(WEIR_ENOMEM, "weir_remote_metrics: no memory");
    int code = read_stats(farms, stats, n);
    for (size_t i = 0; !code && i < sizeof metrics / sizeof *metrics; i++)
        add_metric(&t, i, farms, stats, n);
    free(stats);
    return code ? code : (int)t.n;
}
