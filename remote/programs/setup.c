/* SPDX-License-Identifier: ISC
 *
 * weir-remote-setup [-c FILE] [-n MAX] URL NAME...: declares the queues of these jobs at a
 * server, and prints the policy that gives them their limits. What is there already stays, so
 * it may run at each deployment.
 *   -c FILE  user:password in its first line
 *   -n MAX   most jobs in a queue, default 100000
 */
#include "weir_remote.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int usage(void)
{
    fprintf(stderr, "usage: weir-remote-setup [-c CREDENTIALS_FILE] [-n MAX_LENGTH] URL NAME...\n");
    return 2;
}

static void print_policy(unsigned long most)
{
    printf("The queues are there. Their limits are a policy; as an administrator of the server:\n\n"
           "rabbitmqctl set_policy weir '^weir\\.(?!reply\\.|dead)' \\\n"
           "  '{\"delivery-limit\": 20, \"max-length\": %lu, \"overflow\": \"reject-publish\", "
           "\"dead-letter-exchange\": \"\", \"dead-letter-routing-key\": \"weir.dead\", "
           "\"dead-letter-strategy\": \"at-least-once\"}' \\\n"
           "  --apply-to queues\n",
           most);
}

int main(int argc, char **argv)
{
    weir_remote_options o = {.size = sizeof o};
    unsigned long       most = 100000;
    int                 option;
    while ((option = getopt(argc, argv, "c:n:")) != -1) {
        if (option == 'c')
            o.credentials_file = optarg;
        else if (option != 'n' || (most = strtoul(optarg, NULL, 10)) == 0)
            return usage();
    }
    if (argc - optind < 2)
        return usage();
    o.url = argv[optind];
    const char *const *names = (const char *const *)(void *)&argv[optind + 1];
    if (weir_remote_declare(&o, names, (size_t)(argc - optind - 1)) != 0) {
        fprintf(stderr, "%s\n", weir_remote_error());
        return 1;
    }
    print_policy(most);
    return 0;
}
