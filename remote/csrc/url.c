/* SPDX-License-Identifier: ISC
 *
 * url: amqp[s]://[user[:password]@]host[:port][/vhost], or local:[NAME].
 */
#define _GNU_SOURCE /* explicit_bzero, memrchr */
#include "url.h"

#include "weir.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { AMQP = 5672, AMQPS = 5671 };

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Copies [from, end) with %XX decoded; %00 and a % without two digits are refused. */
static int decode(char **out, const char *from, const char *end)
{
    char *copy = malloc((size_t)(end - from) + 1), *to = copy;
    if (!copy)
        return WEIR_ENOMEM;
    *out = copy; /* the caller's clear frees it, also after an error */
    for (; from < end; from++) {
        *to = *from;
        if (*from == '%') {
            int high = end - from > 2 ? digit(from[1]) : -1;
            int low = high >= 0 ? digit(from[2]) : -1;
            *to = (char)(high * 16 + low);
            from += 2;
            if (low < 0 || !*to) {
                *to = 0;
                return WEIR_EINVAL;
            }
        }
        to++;
    }
    *to = 0;
    return 0;
}

static int parse_port(wr_url *url, const char *from, const char *end)
{
    unsigned port = 0;
    if (from == end)
        return WEIR_EINVAL;
    for (; from < end; from++) {
        if (*from < '0' || *from > '9' || (port = port * 10 + (unsigned)(*from - '0')) > 65535)
            return WEIR_EINVAL;
    }
    url->port = port;
    return port ? 0 : WEIR_EINVAL;
}

/* host[:port]; an IPv6 address stands in brackets, which are taken off. */
static int parse_host(wr_url *url, const char *from, const char *end)
{
    const char *colon = memchr(from, ':', (size_t)(end - from)), *stop = colon ? colon : end;
    if (from < end && *from == '[') {
        from++;
        stop = memchr(from, ']', (size_t)(end - from));
        colon = stop && stop + 1 < end ? stop + 1 : NULL;
        if (!stop || (colon && *colon != ':'))
            return WEIR_EINVAL;
    }
    if (stop == from)
        return WEIR_EINVAL;
    int code = decode(&url->host, from, stop);
    return code || !colon ? code : parse_port(url, colon + 1, end);
}

static int parse_user(wr_url *url, const char *from, const char *end)
{
    const char *colon = end ? memchr(from, ':', (size_t)(end - from)) : NULL;
    if (!end) {
        url->user = strdup("guest");
        url->password = strdup("guest");
        return url->user && url->password ? 0 : WEIR_ENOMEM;
    }
    int code = decode(&url->user, from, colon ? colon : end);
    return code ? code : decode(&url->password, colon ? colon + 1 : end, end);
}

static int show(wr_url *url, const char *text, const char *user, const char *at)
{
    const char *colon = at ? memchr(user, ':', (size_t)(at - user)) : NULL;
    size_t      room = strlen(text) + sizeof ":***";
    url->shown = malloc(room);
    if (!url->shown)
        return WEIR_ENOMEM;
    if (colon)
        snprintf(url->shown, room, "%.*s:***%s", (int)(colon - text), text, at);
    else
        snprintf(url->shown, room, "%s", text);
    return 0;
}

static int parse_server(wr_url *url, const char *text, const char *rest)
{
    const char *end = rest + strcspn(rest, "/"), *at = memrchr(rest, '@', (size_t)(end - rest));
    if (strchr(end, '@')) /* a "/" in a password: its rest would be shown as the vhost */
        return WEIR_EINVAL;
    int code = show(url, text, rest, at);
    url->port = url->tls ? AMQPS : AMQP;
    code = code ? code : parse_user(url, rest, at);
    code = code ? code : parse_host(url, at ? at + 1 : rest, end);
    if (code)
        return code;
    if (*end) /* as elsewhere for AMQP: "/" alone is the vhost "", none is "/" */
        return decode(&url->vhost, end + 1, end + strlen(end));
    url->vhost = strdup("/");
    return url->vhost ? 0 : WEIR_ENOMEM;
}

static int parse_local(wr_url *url, const char *text, const char *name)
{
    url->local = true;
    url->host = strdup(name);
    url->shown = strdup(text);
    return url->host && url->shown ? 0 : WEIR_ENOMEM;
}

int wr_url_parse(wr_url *out, const char *text)
{
    wr_url url = {0};
    int    code = WEIR_ENOTSUP;
    if (!text)
        return WEIR_EINVAL;
    if (!strncmp(text, "local:", 6))
        code = parse_local(&url, text, text + 6);
    else if (!strncmp(text, "amqp://", 7))
        code = parse_server(&url, text, text + 7);
    else if ((url.tls = !strncmp(text, "amqps://", 8)))
        code = parse_server(&url, text, text + 8);
    if (code)
        wr_url_clear(&url);
    else
        *out = url;
    return code;
}

void wr_url_clear(wr_url *url)
{
    if (url->password)
        explicit_bzero(url->password, strlen(url->password));
    free(url->host);
    free(url->user);
    free(url->password);
    free(url->vhost);
    free(url->shown);
    *url = (wr_url){0};
}
