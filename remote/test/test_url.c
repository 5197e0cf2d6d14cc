/* SPDX-License-Identifier: ISC
 *
 * What a farm's URL means, what is refused, and that a password is never shown.
 */
#include "harness.h"
#include "url.h"

#include <string.h>

static const struct {
    const char *text, *user, *password, *host, *vhost, *shown;
    unsigned    port;
} good[] = {
    {"amqp://farm", "guest", "guest", "farm", "/", "amqp://farm", 5672},
    {"amqps://farm/", "guest", "guest", "farm", "", "amqps://farm/", 5671},
    {"amqp://u:s%40c@farm:99/a%2fb", "u", "s@c", "farm", "a/b", "amqp://u:***@farm:99/a%2fb", 99},
    {"amqp://u:a:b@c@[::1]:7", "u", "a:b@c", "::1", "/", "amqp://u:***@[::1]:7", 7},
    {"amqp://u@farm", "u", "", "farm", "/", "amqp://u@farm", 5672},
};

static void is(const char *what, const char *wanted)
{
    if (strcmp(what, wanted))
        failed(__FILE__, __LINE__, wanted, 0, 0);
}

TEST(a_server_url_is_taken_apart)
{
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        wr_url url = {0};
        test_stage(good[i].text);
        expect_eq(wr_url_parse(&url, good[i].text), 0);
        is(url.user, good[i].user);
        is(url.password, good[i].password);
        is(url.host, good[i].host);
        is(url.vhost, good[i].vhost);
        is(url.shown, good[i].shown);
        expect_eq(url.port, good[i].port);
        expect(!url.local);
        wr_url_clear(&url);
    }
}

static const struct {
    const char *text;
    int         code;
} bad[] = {
    {NULL, WEIR_EINVAL},           {"", WEIR_ENOTSUP},
    {"http://farm", WEIR_ENOTSUP}, {"amqp://", WEIR_EINVAL},
    {"amqp://u:p@", WEIR_EINVAL},  {"amqp://f:", WEIR_EINVAL},
    {"amqp://f:0", WEIR_EINVAL},   {"amqp://f:65536", WEIR_EINVAL},
    {"amqp://f:9x", WEIR_EINVAL},  {"amqp://f/%0", WEIR_EINVAL},
    {"amqp://f/%00", WEIR_EINVAL}, {"amqp://f/%g1", WEIR_EINVAL},
    {"amqp://[::1", WEIR_EINVAL},  {"amqp://[::1]9", WEIR_EINVAL},
    {"amqp://[", WEIR_EINVAL},     {"amqp://u:12/34@f", WEIR_EINVAL},
};

TEST(another_form_is_refused_and_out_untouched)
{
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        wr_url url = {.port = 12345};
        test_stage(bad[i].text);
        expect_eq(wr_url_parse(&url, bad[i].text), bad[i].code);
        expect_eq(url.port, 12345);
        expect(!url.host);
    }
}

TEST(a_local_farm_has_its_name)
{
    wr_url url = {0};
    expect_eq(wr_url_parse(&url, "local:thumbs"), 0);
    expect(url.local);
    is(url.host, "thumbs");
    wr_url_clear(&url);
    expect(!url.shown);
}

SUITE(url, a_server_url_is_taken_apart, another_form_is_refused_and_out_untouched,
      a_local_farm_has_its_name)
