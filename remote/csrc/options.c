/* SPDX-License-Identifier: ISC
 *
 * options: checks, defaults, the credentials file.
 */
#define _GNU_SOURCE /* explicit_bzero */
#include "options.h"

#include "say.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND 1000000000

static int copy(const char **out, const char *text, int code)
{
    if (!code && text && !(*out = strdup(text)))
        return wr_fail(WEIR_ENOMEM, "weir_remote_open: no memory");
    return code;
}

static int time_of(const char *name, int64_t *value, int64_t otherwise, int code)
{
    if (!code && *value < 0)
        return wr_fail(WEIR_EINVAL, "weir_remote_open: %s is %lld, which is negative", name,
                       (long long)*value);
    if (!*value)
        *value = otherwise;
    return code;
}

static int read_times(weir_remote_options *o)
{
    int code = time_of("give_up_ns", &o->give_up_ns, 60LL * SECOND, 0);
    code = time_of("heartbeat_ns", &o->heartbeat_ns, 10LL * SECOND, code);
    code = time_of("reconnect_min_ns", &o->reconnect_min_ns, SECOND / 10, code);
    code = time_of("reconnect_max_ns", &o->reconnect_max_ns, 5LL * SECOND, code);
    code = time_of("reply_life_ns", &o->reply_life_ns, 60LL * SECOND, code);
    code = time_of("connect_within_ns", &o->connect_within_ns, 10LL * SECOND, code);
    code = time_of("consumer_timeout_ns", &o->consumer_timeout_ns, 1800LL * SECOND, code);
    if (!code && (o->heartbeat_ns % SECOND || o->heartbeat_ns > 65535LL * SECOND))
        return wr_fail(WEIR_EINVAL,
                       "weir_remote_open: heartbeat_ns is %lld; it is whole seconds, "
                       "at most 65535",
                       (long long)o->heartbeat_ns);
    if (!code && o->reconnect_max_ns < o->reconnect_min_ns)
        return wr_fail(WEIR_EINVAL, "weir_remote_open: reconnect_max_ns is below reconnect_min_ns");
    return code;
}

static int check_farm_options(const weir_remote_options *in)
{
    if (!in || in->size != sizeof *in)
        return wr_fail(WEIR_EINVAL, "weir_remote_open: options are NULL, or their size is not "
                                    "sizeof(weir_remote_options)");
    if (in->when_full != WEIR_REFUSE && in->when_full != WEIR_BLOCK &&
        in->when_full != WEIR_DROP_OLDEST)
        return wr_fail(WEIR_EINVAL, "weir_remote_open: when_full is %d", (int)in->when_full);
    return 0;
}

static int read_url(wr_url *url, const char *text)
{
    int code = wr_url_parse(url, text);
    if (code == WEIR_EINVAL) /* the text may hold a password, so it is not shown */
        return wr_fail(code, "weir_remote_open: the url is not "
                             "amqp[s]://[user[:password]@]host[:port][/vhost] or local:[NAME]");
    if (code == WEIR_ENOTSUP)
        return wr_fail(code, "weir_remote_open: the url's scheme is not amqp, amqps or local");
    return code ? wr_fail(code, "weir_remote_open: no memory") : 0;
}

/* ---- the credentials file ------------------------------------------------------------- */

static int take_line(wr_url *url, char *line, const char *path)
{
    char *colon = strchr(line, ':');
    line[strcspn(line, "\r\n")] = 0;
    if (!colon)
        return wr_fail(WEIR_EINVAL, "weir_remote_open: the first line of %s is not user:password",
                       path);
    *colon = 0;
    if (url->password)
        explicit_bzero(url->password, strlen(url->password));
    free(url->user);
    free(url->password);
    url->user = strdup(line);
    url->password = strdup(colon + 1);
    return url->user && url->password ? 0 : wr_fail(WEIR_ENOMEM, "weir_remote_open: no memory");
}

static int read_credentials(wr_url *url, const char *path)
{
    char  line[1024] = "";
    FILE *file = fopen(path, "re");
    if (!file)
        return wr_fail(WEIR_EINVAL, "weir_remote_open: credentials_file %s: %s", path,
                       strerror(errno));
    bool read = fgets(line, sizeof line, file) != NULL;
    fclose(file);
    int code = read ? take_line(url, line, path)
                    : wr_fail(WEIR_EINVAL, "weir_remote_open: credentials_file %s is empty", path);
    explicit_bzero(line, sizeof line);
    return code;
}

/* ---- all of them ------------------------------------------------------------------------ */

int wr_options_read(weir_remote_options *out, wr_url *url, const weir_remote_options *in)
{
    int code = check_farm_options(in);
    if (code)
        return code;
    *out = *in;
    out->url = out->credentials_file = out->ca_file = NULL;
    if (!out->message_limit)
        out->message_limit = (size_t)16 << 20;
    code = read_times(out);
    code = code ? code : read_url(url, in->url);
    code = copy(&out->url, url->shown, code);
    code = copy(&out->credentials_file, in->credentials_file, code);
    code = copy(&out->ca_file, in->ca_file, code);
    if (!code && in->credentials_file && !url->local)
        code = read_credentials(url, in->credentials_file);
    return code;
}

void wr_options_clear(weir_remote_options *options)
{
    free((char *)options->url);
    free((char *)options->credentials_file);
    free((char *)options->ca_file);
}
