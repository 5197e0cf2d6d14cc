/* SPDX-License-Identifier: ISC
 *
 * weir-remote-setup [-c FILE] [-n MAX] [-m HTTP] URL NAME...: declares the queues of these jobs
 * at a server, and gives them their limits. What is there already stays, so it may run at each
 * deployment.
 *   -c FILE  user:password in its first line
 *   -n MAX   most jobs in a queue, default 100000
 *   -m HTTP  http[s]://host:port of the management plugin: sets the policy there, and checks
 *            what holds for each queue. Without it the policy is printed as a command
 */
#include "http.h"
#include "options.h"
#include "peer.h"
#include "say.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { DELIVERY_LIMIT = 20 };

static const char usage[] = "usage: weir-remote-setup [-c CREDENTIALS_FILE] [-n MAX_LENGTH] [-m "
                            "http://HOST:15672] URL NAME...\n"
                            "Declares the queues of these jobs. With -m it sets their policy as "
                            "well and checks it, else it\n"
                            "prints the policy.\n";

static void print_policy(const wr_policy *p)
{
    printf("The queues are there. Their limits are a policy; as an administrator of the server:\n\n"
           "rabbitmqctl set_policy weir '^weir\\.(?!reply\\.|dead)' \\\n"
           "  '{\"delivery-limit\": %lu, \"max-length\": %lu, \"overflow\": \"reject-publish\", "
           "\"dead-letter-exchange\": \"\", \"dead-letter-routing-key\": \"weir.dead\", "
           "\"dead-letter-strategy\": \"at-least-once\"}' \\\n"
           "  --apply-to queues\n",
           p->delivery_limit, p->max_length);
}

static bool check_job(const char *base, const wr_url *url, const char *name, const wr_policy *p)
{
    char queue[WEIR_REMOTE_NAME_MAX + 16];
    bool good = true;
    for (unsigned level = 0; level < WEIR_LEVELS; level++) {
        snprintf(queue, sizeof queue, "weir.%s%s", name, wr_suffix(level));
        good &= wr_http_check(base, url, queue, p);
    }
    return good;
}

static int set_policy(const char *base, const weir_remote_options *o, const wr_policy *p,
                      const char *const *names, size_t n)
{
    weir_remote_options read = {0};
    wr_url              url = {0};
    bool                changed, good = wr_options_read(&read, &url, o) == 0;
    good = good && wr_http_set_policy(base, &url, p, &changed);
    for (size_t i = 0; good && i < n; i++)
        good = check_job(base, &url, names[i], p);
    if (good)
        printf("The queues are there, the policy %s.\n", changed ? "is set" : "was there");
    wr_options_clear(&read);
    wr_url_clear(&url);
    return !good;
}

int main(int argc, char **argv)
{
    weir_remote_options o = {.size = sizeof o};
    wr_policy           policy = {DELIVERY_LIMIT, 100000};
    const char         *base = NULL;
    int                 option;
    opterr = 0;
    while ((option = getopt(argc, argv, "c:m:n:")) != -1) {
        if (option == 'c')
            o.credentials_file = optarg;
        else if (option == 'm')
            base = optarg;
        else if (option != 'n' || (policy.max_length = strtoul(optarg, NULL, 10)) == 0)
            return wr_peer_usage(argv, usage);
    }
    if (argc - optind < 2)
        return wr_peer_usage(argv, usage);
    o.url = argv[optind];
    const char *const *names = (const char *const *)(void *)&argv[optind + 1];
    size_t             n = (size_t)(argc - optind - 1);
    if (weir_remote_declare(&o, names, n) != 0) {
        fprintf(stderr, "%s\n", weir_remote_error());
        return 1;
    }
    if (base)
        return set_policy(base, &o, &policy, names, n);
    print_policy(&policy);
    return 0;
}
