/* SPDX-License-Identifier: Apache-2.0 */
/*
 * purge: PURGE over HTTP, as DevCachePurge answers it.
 */
#include "ctl.h"

#include <string.h>

#include <apr_strings.h>
#include <apr_uri.h>

static struct curl_slist *add(ctl_t *c, struct curl_slist *list, const char *name,
                              const char *value)
{
    return curl_slist_append(list, apr_pstrcat(c->pool, name, ": ", value, NULL));
}

/* How the server is told what is meant. */
static struct curl_slist *say_what(ctl_t *c)
{
    struct curl_slist *list = NULL;
    int i;

    for (i = 0; i < c->tags->nelts; i++) {
        list = add(c, list, "Cache-Tag", APR_ARRAY_IDX(c->tags, i, const char *));
    }
    if (!c->tags->nelts) {
        list = add(c, list, "X-Purge-Method", c->prefix ? "prefix" : "exact");
    }
    if (c->soft) {
        list = add(c, list, "DevCache-Purge-Soft", "1");
    }
    if (c->refill) {
        list = add(c, list, "DevCache-Purge-Refill", "1");
    }
    if (c->device) {
        list = add(c, list, "DevCache-Purge-Device", c->device);
    }
    if (c->wait >= 0) {
        list = add(c, list, "DevCache-Purge-Wait",
                   apr_psprintf(c->pool, "%d", (int)c->wait));
    }
    for (i = 0; i < c->headers->nelts; i++) {
        list = curl_slist_append(list, APR_ARRAY_IDX(c->headers, i, const char *));
    }
    return list;
}

static int is_line(const char *s)
{
    return *s && !strpbrk(s, "\r\n");
}

/* NULL, or what is wrong with the command line. */
static const char *check(ctl_t *c)
{
    int whats = (c->argc > 0 && !c->tags->nelts) + (c->prefix != NULL) +
                (c->tags->nelts > 0);
    int i, fine = !c->device || is_line(c->device);

    if (whats != 1 || (c->prefix && c->argc)) {
        return "give one of: a URL, --prefix URL, --tag TAG (which may be repeated)";
    }
    for (i = 0; i < c->tags->nelts; i++) {
        fine &= is_line(APR_ARRAY_IDX(c->tags, i, const char *));
    }
    for (i = 0; i < c->headers->nelts; i++) {
        fine &= is_line(APR_ARRAY_IDX(c->headers, i, const char *));
    }
    return fine ? NULL : "an empty value, or one of several lines, cannot be sent";
}

/* The server's status page tells where it is, if nothing else does. */
static const char *target(ctl_t *c)
{
    apr_uri_t uri;

    if (c->prefix || c->argc) {
        return c->prefix ? c->prefix : c->argv[0];
    }
    return apr_uri_parse(c->pool, c->url, &uri) == APR_SUCCESS && uri.hostinfo
               ? apr_pstrcat(c->pool, uri.scheme, "://", uri.hostinfo, "/", NULL)
               : c->url;
}

/* What is said of other machines. @return CTL_FAILED if one has not carried it out */
static int report_machines(const ctl_t *c, const json_t *all)
{
    const json_t *nodes = json_object_get(all, "nodes");
    const json_t *missing = json_object_get(all, "missing");
    size_t i;

    if (json_is_true(json_object_get(all, "pending")) && !c->json) {
        puts("no server could take it yet: the other machines hear of it later");
    }
    if (c->wait < 0 || !nodes) {
        return CTL_OK;
    }
    if (!c->json) {
        printf("carried out by %lld of %lld machines\n",
               (long long)json_integer_value(json_object_get(all, "applied")),
               (long long)json_integer_value(nodes));
    }
    for (i = 0; i < json_array_size(missing) && !c->json; i++) {
        fputs("not yet by ", stdout);
        ctl_print_str(stdout, json_string_value(json_array_get(missing, i)));
        putchar('\n');
    }
    return json_is_true(json_object_get(all, "pending")) || json_array_size(missing) > 0
               ? CTL_FAILED
               : CTL_OK;
}

/* What is fetched again, and what is not. */
static void report_refill(const ctl_t *c, const json_t *refill)
{
    static const char *const left[][2] = {
        {"over_limit", "are too many at once"},
        {"personal", "depend on who asks"},
        {"no_user_agent", "are of classes that no User-Agent is known for"}};
    long long limit = (long long)json_integer_value(json_object_get(refill, "limit"));
    size_t i;

    if (!refill || c->json) {
        return;
    }
    printf("refill: %lld of %lld",
           (long long)json_integer_value(json_object_get(refill, "begun")),
           (long long)json_integer_value(json_object_get(refill, "of")));
    if (limit) {
        printf(" (limit %lld)", limit);
    }
    for (i = 0; i < sizeof(left) / sizeof(*left); i++) {
        long long n = (long long)json_integer_value(json_object_get(refill, left[i][0]));

        if (n) {
            printf("; %lld %s", n, left[i][1]);
        }
    }
    putchar('\n');
}

static int report(ctl_t *c, const char *url, const ctl_answer_t *answer)
{
    json_t *all = json_loadb(answer->body, answer->len, 0, NULL);
    const char *error = json_string_value(json_object_get(all, "error"));
    const json_t *purged = json_object_get(all, "purged");
    const json_t *expired = json_object_get(all, "expired");
    int rv = CTL_OK;

    if ((answer->status != 200 && answer->status != 202) || !json_is_integer(purged) ||
        error) {
        rv = ctl_fail(
            c, "%s: the server answers with status %ld: %s", url, answer->status,
            error ? error : "is there DevCachePurge On, with a Require for you?");
    } else if (c->json) {
        ctl_print_json(all);
    } else if (expired) {
        printf("%lld removed, %lld stale from now on\n",
               (long long)json_integer_value(purged),
               (long long)json_integer_value(expired));
    } else {
        printf("%lld removed\n", (long long)json_integer_value(purged));
    }
    if (rv == CTL_OK) {
        report_refill(c, json_object_get(all, "refill"));
        rv = report_machines(c, all);
    }
    json_decref(all);
    return rv;
}

int ctl_purge(ctl_t *c)
{
    const char *error = check(c), *url;
    struct curl_slist *headers;
    ctl_answer_t answer;

    if (error) {
        return ctl_wrong(c, "%s", error);
    }
    url = target(c);
    headers = say_what(c);
    error = ctl_ask(c, "PURGE", url, headers, &answer);
    curl_slist_free_all(headers);
    return error ? ctl_fail(c, "%s", error) : report(c, url, &answer);
}
