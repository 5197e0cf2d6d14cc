/* SPDX-License-Identifier: ISC
 *
 * url: what a farm's URL says, and how it may be shown.
 */
#ifndef WR_URL_H
#define WR_URL_H

#include <stdbool.h>

typedef struct {
    bool     local, tls;
    char    *host, *user, *password, *vhost; /* host: the name of a local farm, "" if it has none */
    unsigned port;                           /* 0 if local */
    char    *shown;                          /* the URL; a password reads "***" */
} wr_url;

/* Returns 0, WEIR_EINVAL (another form), WEIR_ENOTSUP (unknown scheme) or WEIR_ENOMEM; after
 * an error *out is untouched. Any thread. Partner: wr_url_clear. */
int wr_url_parse(wr_url *out, const char *text);

/* Frees what it holds; the password is wiped first. A zero-filled URL is allowed. */
void wr_url_clear(wr_url *url);

#endif
