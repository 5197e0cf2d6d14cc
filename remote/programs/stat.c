/* SPDX-License-Identifier: ISC
 *
 * weir-remote-stat [-c FILE] URL NAME...: of each queue of these jobs, and of the dead letters,
 * how many jobs wait and how many workers consume. Those that a worker has are not counted as
 * waiting. Exits 1 if a queue is not there. Rates are the management plugin's.
 */
#include "peer.h"

#include "say.h"

#include <stdio.h>
#include <unistd.h>

static int usage(void)
{
    fprintf(stderr, "usage: weir-remote-stat [-c CREDENTIALS_FILE] URL NAME...\n");
    return 2;
}

static bool show(wr_peer *peer, const char *queue)
{
    bool     exists;
    unsigned waiting, consumers;
    if (wr_wire_look(peer->wire, queue, &exists, &waiting, &consumers) != 0)
        wr_peer_fail(peer);
    if (exists)
        printf("%-40s %9u %9u\n", queue, waiting, consumers);
    else
        printf("%-40s %9s %9s\n", queue, "missing", "");
    return exists;
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
    while ((option = getopt(argc, argv, "c:")) != -1) {
        if (option != 'c')
            return usage();
        file = optarg;
    }
    if (argc - optind < 2)
        return usage();
    for (int i = optind + 1; i < argc; i++)
        if (!wr_is_name(argv[i]))
            return usage();
    wr_peer_open(&peer, argv[optind], file, "stat");
    printf("%-40s %9s %9s\n", "queue", "waiting", "workers");
    bool all = true;
    for (int i = optind + 1; i < argc; i++)
        all &= show_job(&peer, argv[i]);
    all &= show(&peer, WR_DEAD_QUEUE);
    all &= show(&peer, WR_KEPT_QUEUE);
    wr_peer_close(&peer);
    return !all;
}
