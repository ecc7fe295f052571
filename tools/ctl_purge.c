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
    if (c->device) {
        list = add(c, list, "DevCache-Purge-Device", c->device);
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

static int report(ctl_t *c, const char *url, const ctl_answer_t *answer)
{
    json_t *all = json_loadb(answer->body, answer->len, 0, NULL);
    const char *error = json_string_value(json_object_get(all, "error"));
    const json_t *purged = json_object_get(all, "purged");
    const json_t *expired = json_object_get(all, "expired");
    int rv = CTL_OK;

    if (answer->status != 200 || !json_is_integer(purged) || error) {
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
