/* SPDX-License-Identifier: ISC
 *
 * amqps: whom a farm trusts.
 */
#include "server.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static char url[128], ca[400], sentence[512];
static gate told = GATE;

static void on_event(void *arg, int code, const char *text)
{
    (void)arg;
    if (!code || tally_get(&told))
        return;
    snprintf(sentence, sizeof sentence, "%s", text);
    gate_open(&told);
}

static weir_remote_options tls_options(void)
{
    weir_remote_options o = server_options();
    FILE               *file = fopen(server_file("tls_url"), "re");
    expect(file && fgets(url, sizeof url, file));
    fclose(file);
    url[strcspn(url, "\n")] = 0;
    snprintf(ca, sizeof ca, "%s", server_file("ca.pem"));
    o.url = url;
    o.ca_file = ca;
    o.on_event = on_event;
    gate_shut(&told);
    return o;
}

TEST(a_job_goes_over_tls)
{
    client              c;
    worker              w;
    errand              e = ERRAND;
    weir_remote_options o = tls_options();
    client_open(&c, &o);
    worker_start(&w, "echo", NULL);
    expect_eq(ask(c.farm, &e, c.m, "echo", "x"), 0);
    worker_stop(&w);
    client_close(&c);
}

static void refused(const weir_remote_options *o)
{
    client c;
    errand e = ERRAND;
    client_open(&c, o);
    submit(c.farm, &e, c.m, "echo", "x");
    gate_wait(&told);
    expect(has(sentence, "no connection") && has(sentence, o->url));
    expect_eq(stats(c.farm).connects, 0);
    expect_eq(weir_remote_cancel(&e.job), 0);
    client_close(&c);
}

TEST(a_server_of_an_unknown_authority_is_refused)
{
    weir_remote_options o = tls_options();
    o.ca_file = NULL; /* the system's */
    refused(&o);
}

TEST(a_certificate_for_another_host_is_refused)
{
    weir_remote_options o = tls_options();
    char                other[128];
    snprintf(other, sizeof other, "amqps://127.0.0.1%s", strrchr(url, ':'));
    o.url = other;
    refused(&o);
}

TEST(an_authority_file_that_is_not_there_is_told)
{
    weir_remote_options o = tls_options();
    o.ca_file = "/nowhere.pem";
    refused(&o);
    expect(has(sentence, "/nowhere.pem"));
}

SUITE(tls, a_job_goes_over_tls, a_server_of_an_unknown_authority_is_refused,
      a_certificate_for_another_host_is_refused, an_authority_file_that_is_not_there_is_told)
