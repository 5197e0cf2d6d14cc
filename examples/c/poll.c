/* SPDX-License-Identifier: ISC
 *
 * poll.c: looks up host names on four threads, because getaddrinfo blocks, from a
 * loop of its own over poll(2).
 */
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <weir.h>

struct lookup {
    weir_task   task; /* first: a task is its lookup */
    const char *host;
    char        address[NI_MAXHOST];
};

static int look_up(weir_task *task, void *state) /* on a worker: it may block */
{
    struct lookup   *l = (struct lookup *)task;
    struct addrinfo *a, hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
    if (getaddrinfo(l->host, NULL, &hints, &a) != 0)
        return 1;
    int rc =
        getnameinfo(a->ai_addr, a->ai_addrlen, l->address, NI_MAXHOST, NULL, 0, NI_NUMERICHOST);
    freeaddrinfo(a);
    return rc != 0;
}

static void looked_up(weir_task *task) /* on the loop's thread */
{
    if (weir_task_outcome(task) != 0)
        snprintf(((struct lookup *)task)->address, NI_MAXHOST, "not found");
}

int main(int argc, char **argv)
{
    weir_pool_options opts = {.size = sizeof opts, .name = "resolver", .threads = 4};
    struct lookup    *lookups = calloc((size_t)argc, sizeof *lookups);
    weir_main        *loop; /* where lookups come back to this thread */
    weir_pool        *pool;
    if (argc < 2) {
        fprintf(stderr, "usage: %s HOST...\n", argv[0]);
        return 2;
    }
    if (!lookups || weir_main_open(&loop) != 0 || weir_pool_open(&pool, &opts) != 0)
        return EXIT_FAILURE;
    for (int i = 1; i < argc; i++) {
        lookups[i] = (struct lookup){.task = {.run = look_up, .done = looked_up}, .host = argv[i]};
        weir_run(pool, &lookups[i].task, loop); /* never refused: no limit is set */
    }
    while (weir_main_pending(loop) > 0) { /* the last delivery ends it */
        struct pollfd ready = {.fd = weir_main_fd(loop), .events = POLLIN};
        poll(&ready, 1, -1);
        weir_main_dispatch(loop, 0);
    }
    for (int i = 1; i < argc; i++)
        printf("%s: %s\n", lookups[i].host, lookups[i].address);
    weir_pool_release(pool);
    free(lookups);
    return weir_main_close(loop, 0) != 0;
}
