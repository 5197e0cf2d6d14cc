/* SPDX-License-Identifier: ISC
 *
 * http: what AMQP cannot ask or set, by the management plugin of the server.
 */
#ifndef WR_HTTP_H
#define WR_HTTP_H

#include "url.h"

#include <stdbool.h>

/* What a queue of jobs is to have. */
typedef struct {
    unsigned long delivery_limit, max_length;
} wr_policy;

typedef struct {
    double   in, out; /* per second */
    unsigned unacked;
} wr_rates;

/* base: http[s]://host:port of the plugin; user, password and vhost are url's. Those that
 * return bool say false with a sentence on stderr. */

/* Gives all queues of jobs this policy, unless they have it; *changed: whether they had not. */
bool wr_http_set_policy(const char *base, const wr_url *url, const wr_policy *policy,
                        bool *changed);
/* Whether the policy that holds for this queue, of whatever name, says this. */
bool wr_http_check(const char *base, const wr_url *url, const char *queue, const wr_policy *policy);
bool wr_http_rates(const char *base, const wr_url *url, const char *queue, wr_rates *rates);

#endif
