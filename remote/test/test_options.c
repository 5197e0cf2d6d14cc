/* SPDX-License-Identifier: ISC
 *
 * A farm's options: refused, filled in, read back; a password that is never shown.
 */
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void refused(weir_remote_options o, int code, const char *says)
{
    weir_remote *farm = (void *)&o;
    o.size = o.size ? o.size : sizeof o;
    o.url = o.url ? o.url : "local:";
    test_stage(says);
    expect_eq(weir_remote_open(&farm, &o), code);
    expect(farm == (void *)&o);
    if (!has(weir_remote_error(), says))
        failed(__FILE__, __LINE__, weir_remote_error(), 0, 0);
    expect(!has(weir_remote_error(), "secret"));
}

#define REFUSED(code, says, ...) refused((weir_remote_options){__VA_ARGS__}, code, says)

TEST(a_bad_option_is_refused_by_name)
{
    weir_remote *farm;
    REFUSED(WEIR_EINVAL, "size", .size = 3);
    REFUSED(WEIR_EINVAL, "url", .url = "amqp://u:secret@host:99999");
    REFUSED(WEIR_ENOTSUP, "scheme", .url = "http://u:secret@host");
    REFUSED(WEIR_EINVAL, "when_full", .when_full = WEIR_CALLER_RUNS);
    REFUSED(WEIR_EINVAL, "give_up_ns", .give_up_ns = -1);
    REFUSED(WEIR_EINVAL, "heartbeat_ns", .heartbeat_ns = 1500000000);
    REFUSED(WEIR_EINVAL, "reconnect_max_ns", .reconnect_max_ns = 1);
    REFUSED(WEIR_EINVAL, "/nowhere", .url = "amqp://127.0.0.1", .credentials_file = "/nowhere");
    REFUSED(WEIR_EINVAL, "is empty", .url = "amqp://127.0.0.1", .credentials_file = "/dev/null");
    weir_remote_options none = options_of(NULL);
    expect_eq(weir_remote_open(&farm, &none), WEIR_EINVAL);
    expect_eq(weir_remote_open(&farm, NULL), WEIR_EINVAL);
    expect_eq(weir_remote_open(NULL, NULL), WEIR_EINVAL);
}

TEST(options_are_read_back_with_the_defaults_filled_in)
{
    weir_remote        *farm;
    weir_remote_options o = options_of("local:read"), back = {.size = sizeof back};
    o.queue_limit = 7;
    expect_eq(weir_remote_open(&farm, &o), 0);
    expect_eq(weir_remote_get_options(farm, &back), 0);
    expect(!strcmp(back.url, "local:read"));
    expect_eq(back.queue_limit, 7);
    expect_eq(back.message_limit, 16 << 20);
    expect_eq(back.give_up_ns, SECONDS(60));
    expect_eq(back.heartbeat_ns, SECONDS(10));
    expect_eq(back.reconnect_min_ns, MILLIS(100));
    expect_eq(back.reconnect_max_ns, SECONDS(5));
    expect_eq(back.reply_life_ns, SECONDS(60));
    expect_eq(back.connect_within_ns, SECONDS(10));
    expect_eq(back.consumer_timeout_ns, SECONDS(1800));
    back.size = 1;
    expect_eq(weir_remote_get_options(farm, &back), WEIR_EINVAL);
    expect_eq(weir_remote_close(farm, WEIR_REMOTE_DRAIN, NULL, -1), 0);
}

/* Nothing connects, because nothing is run. */
TEST(the_credentials_file_wins_and_no_password_is_shown)
{
    char                path[] = "/tmp/remote-XXXXXX";
    int                 fd = mkstemp(path);
    weir_remote        *farm;
    weir_remote_options o = options_of("amqp://u:secret@127.0.0.1:1"), back = {.size = sizeof back};
    expect_op(dprintf(fd, "worker:hidden\nmore\n"), >, 0);
    close(fd);
    o.credentials_file = path;
    expect_eq(weir_remote_open(&farm, &o), 0);
    expect_eq(weir_remote_get_options(farm, &back), 0);
    expect(!strcmp(back.url, "amqp://u:***@127.0.0.1:1"));
    expect(!strcmp(back.credentials_file, path));
    expect_eq(weir_remote_close(farm, WEIR_REMOTE_DRAIN, NULL, -1), 0);
    unlink(path);
}

SUITE(options, a_bad_option_is_refused_by_name, options_are_read_back_with_the_defaults_filled_in,
      the_credentials_file_wins_and_no_password_is_shown)
