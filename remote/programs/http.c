/* SPDX-License-Identifier: ISC
 *
 * http: requests by libcurl, JSON by jansson.
 */
#include "http.h"

#include <curl/curl.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATTERN "^weir\\.(?!reply\\.|dead)"

enum { MOST = 1 << 20, PATIENCE_S = 20 };

typedef struct {
    char  *bytes;
    size_t size;
} text;

static size_t take(char *bytes, size_t one, size_t n, void *to)
{
    text *t = to;
    if (t->size + one * n > MOST)
        return 0;
    char *more = realloc(t->bytes, t->size + one * n + 1);
    if (!more)
        return 0;
    t->bytes = more;
    memcpy(t->bytes + t->size, bytes, one * n);
    t->size += one * n;
    return one * n;
}

static void set_up(CURL *curl, const wr_url *url, const char *method, const char *body, text *out)
{
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_USERNAME, url->user);
    curl_easy_setopt(curl, CURLOPT_PASSWORD, url->password);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)PATIENCE_S);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, out);
    if (body)
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
}

/* base/api/KIND/vhost/name */
static bool set_address(CURL *curl, const char *base, const wr_url *url, const char *kind,
                        const char *name)
{
    char  address[2000];
    char *vhost = curl_easy_escape(curl, url->vhost, 0), *escaped = curl_easy_escape(curl, name, 0);
    int   n = vhost && escaped
                  ? snprintf(address, sizeof address, "%s/api/%s/%s/%s", base, kind, vhost, escaped)
                  : -1;
    curl_free(vhost);
    curl_free(escaped);
    return n > 0 && (size_t)n < sizeof address &&
           curl_easy_setopt(curl, CURLOPT_URL, address) == CURLE_OK;
}

/* The status of the answer, and its JSON if it has one; 0: none came, and it says why. */
static long ask(const char *base, const wr_url *url, const char *method, const char *kind,
                const char *name, const char *body, json_t **answer)
{
    text  out = {0};
    long  status = 0;
    CURL *curl = curl_easy_init();
    *answer = NULL;
    if (!curl || !set_address(curl, base, url, kind, name)) {
        fprintf(stderr, "%s: no memory, or the address is too long\n", base);
        curl_easy_cleanup(curl);
        return 0;
    }
    set_up(curl, url, method, body, &out);
    struct curl_slist *json = curl_slist_append(NULL, "content-type: application/json");
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, json);
    CURLcode code = curl_easy_perform(curl);
    if (code == CURLE_OK)
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    else
        fprintf(stderr, "%s: %s\n", base, curl_easy_strerror(code));
    if (out.size)
        *answer = json_loadb(out.bytes, out.size, 0, NULL);
    curl_slist_free_all(json);
    curl_easy_cleanup(curl);
    free(out.bytes);
    return status;
}

static bool refused(const char *base, const char *what, const char *name, long status)
{
    if (status)
        fprintf(stderr, "%s: %s %s: the server answers %ld\n", base, what, name, status);
    return false;
}

/* ---- the policy ------------------------------------------------------------------------ */

static json_t *definition_of(const wr_policy *p)
{
    return json_pack("{s:I, s:I, s:s, s:s, s:s, s:s}", "delivery-limit",
                     (json_int_t)p->delivery_limit, "max-length", (json_int_t)p->max_length,
                     "overflow", "reject-publish", "dead-letter-exchange", "",
                     "dead-letter-routing-key", "weir.dead", "dead-letter-strategy",
                     "at-least-once");
}

static json_t *policy_of(const wr_policy *p)
{
    return json_pack("{s:s, s:s, s:i, s:o}", "pattern", PATTERN, "apply-to", "queues", "priority",
                     0, "definition", definition_of(p));
}

/* Whether `there` has all that `wanted` has. */
static bool has_all(json_t *there, json_t *wanted)
{
    const char *key;
    json_t     *value;
    json_object_foreach(wanted, key,
                        value) if (!json_equal(json_object_get(there, key), value)) return false;
    return true;
}

static bool put_policy(const char *base, const wr_url *url, json_t *wanted)
{
    json_t *answer;
    char   *body = json_dumps(wanted, 0);
    long    status = body ? ask(base, url, "PUT", "policies", "weir", body, &answer) : 0;
    free(body);
    if (body)
        json_decref(answer);
    return status == 201 || status == 204 || refused(base, "policy", "weir", status);
}

bool wr_http_set_policy(const char *base, const wr_url *url, const wr_policy *policy, bool *changed)
{
    json_t *there, *wanted = policy_of(policy);
    long    status = ask(base, url, "GET", "policies", "weir", NULL, &there);
    bool    good = status == 200 || status == 404;
    *changed = good && !(status == 200 && has_all(there, wanted));
    if (!good)
        refused(base, "policy", "weir", status);
    else if (*changed)
        good = put_policy(base, url, wanted);
    json_decref(there);
    json_decref(wanted);
    return good;
}

/* ---- a queue ----------------------------------------------------------------------------- */

static json_t *queue_of(const char *base, const wr_url *url, const char *queue)
{
    json_t *answer;
    long    status = ask(base, url, "GET", "queues", queue, NULL, &answer);
    if (status == 200 && json_is_object(answer))
        return answer;
    refused(base, "queue", queue, status);
    json_decref(answer);
    return NULL;
}

/* Whether the policy that holds is ours; *other: it is another's. */
static bool holds(json_t *queue, json_t *wanted, const char *name, const char *base, bool *other)
{
    const char *policy = json_string_value(json_object_get(queue, "policy"));
    *other = policy && strcmp(policy, "weir") != 0;
    if (has_all(json_object_get(queue, "effective_policy_definition"), wanted))
        return true;
    if (*other)
        fprintf(stderr, "%s: queue %s has another policy: %s\n", base, name, policy);
    return false;
}

/* A queue tells of a new policy some seconds later. */
bool wr_http_check(const char *base, const wr_url *url, const char *queue, const wr_policy *policy)
{
    json_t *wanted = definition_of(policy);
    bool    good = false, over = false;
    for (int i = 0; !good && !over && i < 4 * PATIENCE_S; i++) {
        json_t *q = queue_of(base, url, queue);
        if (i)
            poll(NULL, 0, 250);
        over = !q;
        good = q && holds(q, wanted, queue, base, &over);
        json_decref(q);
    }
    if (!good && !over)
        fprintf(stderr, "%s: queue %s does not tell of the policy\n", base, queue);
    json_decref(wanted);
    return good;
}

static double rate_of(json_t *queue, const char *what)
{
    json_t *details = json_object_get(json_object_get(queue, "message_stats"), what);
    return json_number_value(json_object_get(details, "rate"));
}

bool wr_http_rates(const char *base, const wr_url *url, const char *queue, wr_rates *rates)
{
    json_t *q = queue_of(base, url, queue);
    if (!q)
        return false;
    rates->in = rate_of(q, "publish_details");
    rates->out = rate_of(q, "ack_details");
    rates->unacked = (unsigned)json_integer_value(json_object_get(q, "messages_unacknowledged"));
    json_decref(q);
    return true;
}
