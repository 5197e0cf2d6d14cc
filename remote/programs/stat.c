/* SPDX-License-Identifier: ISC
 *
 * weir-remote-stat [-c FILE] [-m HTTP] URL NAME...: of each queue of these jobs, and of the dead
 * letters, how many jobs wait and how many workers consume. Those that a worker has are not
 * counted as waiting. Exits 1 if a queue is not there.
 *   -m HTTP  http[s]://host:port of the management plugin: also how many workers have, and how
 *            many come and are acknowledged per second; all some seconds late
 */
#include "http.h"
#include "peer.h"

#include "say.h"

#include <stdio.h>
#include <unistd.h>

static const char usage[] =
    "usage: weir-remote-stat [-c CREDENTIALS_FILE] [-m http://HOST:15672] URL NAME...\n"
    "What waits in the queues of these jobs, and how many workers consume them. With -m also how\n"
    "many jobs workers have, those that wait in them included, and rates per second: the server\n"
    "tells these some seconds late.\n";

static const char *base; /* NULL: no rates */

static bool show_rates(wr_peer *peer, const char *queue)
{
    wr_rates r;
    if (!wr_http_rates(base, &peer->url, queue, &r))
        return false;
    printf(" %9u %9.1f %9.1f", r.unacked, r.in, r.out);
    return true;
}

static bool show(wr_peer *peer, const char *queue)
{
    bool     exists, all = true;
    unsigned waiting, consumers;
    if (wr_wire_look(peer->wire, queue, &exists, &waiting, &consumers) != 0)
        wr_peer_fail(peer);
    if (exists)
        printf("%-40s %9u %9u", queue, waiting, consumers);
    else
        printf("%-40s %9s %9s", queue, "missing", "");
    if (exists && base)
        all = show_rates(peer, queue);
    puts("");
    return exists && all;
}

static bool show_job(wr_peer *peer, const char *name)
{
    char queue[WEIR_REMOTE_NAME_MAX + 16];
    bool all = true;
    for (unsigned level = 0; level < WEIR_LEVELS; level++) {
        snprintf(queue, sizeof queue, "weir.%s%s", name, wr_suffix(level));
        all &= show(peer, queue);
    }
    return all;
}

int main(int argc, char **argv)
{
    wr_peer     peer;
    const char *file = NULL;
    int         option;
    opterr = 0;
    while ((option = getopt(argc, argv, "c:m:")) != -1) {
        if (option == 'c')
            file = optarg;
        else if (option == 'm')
            base = optarg;
        else
            return wr_peer_usage(argv, usage);
    }
    if (argc - optind < 2)
        return wr_peer_usage(argv, usage);
    for (int i = optind + 1; i < argc; i++)
        if (!wr_is_name(argv[i]))
            return wr_peer_usage(argv, usage);
    wr_peer_open(&peer, argv[optind], file, "stat");
    printf("%-40s %9s %9s%s\n", "queue", "waiting", "workers",
           base ? "   at work      in/s     out/s" : "");
    bool all = true;
    for (int i = optind + 1; i < argc; i++)
        all &= show_job(&peer, argv[i]);
    all &= show(&peer, WR_DEAD_QUEUE);
    all &= show(&peer, WR_KEPT_QUEUE);
    wr_peer_close(&peer);
    return !all;
}
