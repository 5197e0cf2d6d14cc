/* SPDX-License-Identifier: ISC
 *
 * declare: what a server must have before the first job.
 */
#include "client.h"
#include "options.h"
#include "say.h"
#include "wire.h"

#include <stdio.h>

static int declare_job(wr_wire *wire, const char *name)
{
    char queue[WEIR_REMOTE_NAME_MAX + 16];
    int  code = 0;
    for (unsigned level = 0; !code && level < WEIR_LEVELS; level++) {
        snprintf(queue, sizeof queue, "weir.%s%s", name, wr_suffix(level));
        code = wr_wire_declare(wire, queue);
    }
    return code;
}

static int declare_all(wr_wire *wire, const char *const *names, size_t n)
{
    int code = wr_wire_declare_cancel(wire);
    code = code ? code : wr_wire_declare(wire, WR_DEAD_QUEUE);
    code = code ? code : wr_wire_declare(wire, WR_KEPT_QUEUE);
    for (size_t i = 0; !code && i < n; i++)
        code = declare_job(wire, names[i]);
    return code;
}

static int declare_at(const wr_url *url, const weir_remote_options *options,
                      const char *const *names, size_t n)
{
    char     why[300];
    wr_wire *wire;
    if (url->local)
        return wr_fail(WEIR_ENOTSUP, "weir_remote_declare: %s has no server", url->shown);
    if (wr_wire_open(&wire, url, options, "setup", why, sizeof why) != 0)
        return wr_fail(WEIR_REMOTE_ELOST, "weir_remote_declare: %s: %s", url->shown, why);
    int code = declare_all(wire, names, n);
    if (code)
        code = wr_fail(WEIR_REMOTE_ELOST, "weir_remote_declare: %s: %s", url->shown,
                       wr_wire_why(wire));
    wr_wire_close(wire, !code);
    return code;
}

int weir_remote_declare(const weir_remote_options *options, const char *const *names, size_t n)
{
    weir_remote_options read = {0};
    wr_url              url = {0};
    int                 code = 0;
    if (n && !names)
        return wr_fail(WEIR_EINVAL, "weir_remote_declare: names is NULL and n is %zu", n);
    for (size_t i = 0; i < n; i++)
        if (!wr_is_name(names[i]))
            return wr_fail(WEIR_EINVAL,
                           "weir_remote_declare: a name is 1 to %d of [A-Za-z0-9._-], "
                           "not '%.*s'",
                           WEIR_REMOTE_NAME_MAX, WEIR_REMOTE_NAME_MAX,
                           names[i] ? names[i] : "(NULL)");
    code = wr_options_read(&read, &url, options);
    code = code ? code : declare_at(&url, &read, names, n);
    wr_options_clear(&read);
    wr_url_clear(&url);
    return code;
}
