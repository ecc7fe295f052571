/*
 * explain: the server's own word about a request, put into lines.
 */
#include "ctl.h"

#include <string.h>

#include <apr_strings.h>
#include <apr_time.h>

/* What the server calls the answers, and what that means. */
static const struct {
    const char *answer, *meaning;
} answers[] = {
    {"hit", "served from the cache, fresh"},
    {"stale", "served from the cache, stale, as the request allows (max-stale)"},
    {"stale-refresh", "served from the cache, stale, and refreshed then "
                      "(stale-while-revalidate)"},
    {"validate", "stored, but the origin is asked whether it still holds"},
    {"miss", "nothing that fits is stored: the origin answers, and that is stored if it "
             "may be"},
    {"pass", "nothing that fits is stored: the origin answers, and that is not stored"},
    {"timeout", "504 by only-if-cached"},
    {"bypass", "the cache is not used: the origin answers, and that is not stored"},
    {"off", "the cache is not used here: DevCache is Off, or there is no DevCacheRoot"},
    {"httpd", "httpd answers itself, before the cache is asked"},
};

static void add_arg(ctl_t *c, CURL *curl, char **url, const char *name, const char *value)
{
    char *escaped = curl_easy_escape(curl, value, 0);

    *url = apr_pstrcat(c->pool, *url, **url ? "&" : "?", name, "=",
                       escaped ? escaped : "", NULL);
    curl_free(escaped);
}

static char *question(ctl_t *c)
{
    char *url = apr_pstrdup(c->pool, "");
    CURL *curl = curl_easy_init();
    int i;

    add_arg(c, curl, &url, "explain", c->argv[0]);
    if (c->agent) {
        add_arg(c, curl, &url, "header",
                apr_pstrcat(c->pool, "User-Agent: ", c->agent, NULL));
    }
    for (i = 0; i < c->headers->nelts; i++) {
        add_arg(c, curl, &url, "header", APR_ARRAY_IDX(c->headers, i, const char *));
    }
    if (c->address) {
        add_arg(c, curl, &url, "address", c->address);
    }
    curl_easy_cleanup(curl);
    return url;
}

/* ---- lines ------------------------------------------------------------------------ */

/* A member as text; "" if it is not there. */
static const char *text(const json_t *object, const char *name)
{
    const char *s = json_string_value(json_object_get(object, name));

    return s ? s : "";
}

/* Within what microseconds hold, whatever the server says. */
static apr_int64_t number(const json_t *object, const char *name)
{
    apr_int64_t n = json_integer_value(json_object_get(object, name));
    const apr_int64_t bound = APR_INT64_C(1000000000000);

    return n < -bound ? -bound : n > bound ? bound : n;
}

static void line(const char *name, const char *value)
{
    printf("%-9s ", name);
    ctl_print_str(stdout, value);
    fputc('\n', stdout);
}

/* "DevCacheDefaultTTL 60" at file:line */
static const char *directive(ctl_t *c, const json_t *d)
{
    return apr_psprintf(c->pool, "\"%s\" at %s", text(d, "directive"), text(d, "at"));
}

static void print_request(ctl_t *c, const json_t *all)
{
    const json_t *vhost = json_object_get(all, "vhost");
    const json_t *device = json_object_get(all, "device");

    line("url", text(all, "url"));
    line(
        "vhost",
        apr_pstrcat(c->pool, text(vhost, "name"), *text(vhost, "at") ? ", at " : "",
                    text(vhost, "at"),
                    json_is_true(json_object_get(vhost, "named"))
                        ? ""
                        : "; not of that name, but the default one there (try --address)",
                    NULL));
    if (!json_is_object(device)) {
        line("device", "not classified: DevCacheClassify is Off, or there is no "
                       "DevCacheRoot");
        return;
    }
    line("device",
         apr_psprintf(c->pool, "%s (kind %s), by %s \"%s\"%s%s%s", text(device, "class"),
                      text(device, "kind"),
                      *text(device, "at") ? "the own rule" : "the built-in rule",
                      text(device, "rule"), *text(device, "at") ? " at " : "",
                      text(device, "at"),
                      json_is_true(json_object_get(device, "by_cookie"))
                          ? ", the visitor's own choice"
                          : ""));
}

static void print_answer(ctl_t *c, const json_t *all)
{
    const json_t *because = json_object_get(all, "because");
    const json_t *by = json_object_get(all, "decided_by");
    const json_t *field;
    const char *answer = text(all, "answer"), *meaning = "";
    size_t i;

    for (i = 0; i < sizeof(answers) / sizeof(*answers); i++) {
        meaning = strcmp(answers[i].answer, answer) ? meaning : answers[i].meaning;
    }
    line("answer", apr_pstrcat(c->pool, answer, ": ", meaning, NULL));
    if (number(all, "status")) {
        line("", apr_psprintf(c->pool, "with status %d", (int)number(all, "status")));
    }
    if (because) {
        line("because", apr_psprintf(c->pool, "%s: %s", text(because, "reason"),
                                     text(because, "meaning")));
        if (!strcmp(text(because, "reason"), "vary")) {
            line("", "browsers send more: try -H 'Accept-Encoding: gzip, deflate, br, "
                     "zstd'; devcachectl show has what is stored, and for which fields");
        }
    }
    json_array_foreach(json_object_get(all, "fields"), i, field)
    {
        line("", json_string_value(field));
    }
    if (by) {
        line("by", directive(c, by));
    }
    if (json_object_get(all, "stored_only_if_shareable")) {
        line("", "stored only if the answer says public, s-maxage or must-revalidate");
    }
}

static void print_lifetime(ctl_t *c, const json_t *stored)
{
    const json_t *life = json_object_get(stored, "lifetime");
    const json_t *raised = json_object_get(life, "raised");
    const json_t *lowered = json_object_get(life, "lowered");
    const char *by = text(life, "by"), *who;

    who = !strcmp(by, "origin")
              ? apr_psprintf(c->pool, "\"%s\" of the origin", text(life, "field"))
          : !strcmp(by, "directive") ? directive(c, json_object_get(life, "directive"))
          : !strcmp(by, "guess")
              ? "a guess from Last-Modified, or nothing"
              : apr_psprintf(c->pool,
                             "other rules than those of now, which would give %d s: the "
                             "configuration has changed since, or "
                             "mod_headers changes the fields",
                             (int)number(life, "now"));
    line("lifetime",
         apr_psprintf(c->pool, "%d s, by %s", (int)number(life, "seconds"), who));
    if (raised) {
        line("", apr_pstrcat(c->pool, "raised by ", directive(c, raised), NULL));
    }
    if (lowered) {
        line("", apr_pstrcat(c->pool, "lowered by ", directive(c, lowered), NULL));
    }
}

static const char *variant(ctl_t *c, const json_t *stored)
{
    const char *values = "";
    const json_t *one;
    size_t i;

    json_array_foreach(json_object_get(stored, "variant"), i, one)
    {
        values = apr_pstrcat(c->pool, values, i ? ", " : "", text(one, "name"), ": ",
                             text(one, "value"), NULL);
    }
    return *values ? values : "nothing it varies by";
}

static void print_stored(ctl_t *c, const json_t *stored)
{
    apr_int64_t ttl = number(stored, "ttl");
    const json_t *field;
    size_t i;

    line("stored",
         apr_psprintf(
             c->pool, "status %d, %d bytes, at %s", (int)number(stored, "status"),
             (int)number(stored, "size"),
             ctl_instant(apr_time_from_sec(number(stored, "stored_at")), c->pool)));
    line("variant", variant(c, stored));
    line("fresh",
         apr_psprintf(
             c->pool, "%s %s (%s)", ttl > 0 ? "until" : "no, since",
             ctl_instant(apr_time_from_sec(number(stored, "fresh_until")), c->pool),
             ctl_duration(ttl, c->pool)));
    print_lifetime(c, stored);
    json_array_foreach(json_object_get(stored, "headers"), i, field)
    {
        line(i ? "" : "headers",
             apr_pstrcat(c->pool, text(field, "name"), ": ", text(field, "value"), NULL));
    }
}

/* Where a lifetime will come from, when there is none yet. */
static void print_prospect(ctl_t *c, const json_t *all)
{
    const char *forced = NULL, *by_default = NULL;
    const json_t *d;
    size_t i;

    json_array_foreach(json_object_get(all, "directives"), i, d)
    {
        forced = strncmp(text(d, "directive"), "DevCacheForceTTL ", 17) ? forced
                                                                        : directive(c, d);
        by_default = strncmp(text(d, "directive"), "DevCacheDefaultTTL ", 19)
                         ? by_default
                         : directive(c, d);
    }
    line("lifetime",
         forced ? apr_pstrcat(c->pool, "will be by ", forced, NULL)
         : by_default
             ? apr_pstrcat(c->pool, "what the origin states, else by ", by_default, NULL)
             : "what the origin states, else a guess from Last-Modified");
    line("before",
         "not remembered: if it was asked for and not stored, the access log has "
         "the reason (DEVCACHE_REASON)");
}

static void print_all(ctl_t *c, const json_t *all)
{
    const json_t *d;
    size_t i;

    print_request(c, all);
    if (json_object_get(all, "key")) {
        line("key", text(all, "key"));
        line("origin",
             apr_pstrcat(c->pool, text(all, "handler"), *text(all, "handler") ? ", " : "",
                         text(all, "filename"), NULL));
    }
    print_answer(c, all);
    if (json_is_object(json_object_get(all, "stored"))) {
        print_stored(c, json_object_get(all, "stored"));
    } else if (!strcmp(text(all, "answer"), "miss")) {
        print_prospect(c, all);
    }
    json_array_foreach(json_object_get(all, "directives"), i, d)
    {
        line(i ? "" : "here",
             apr_psprintf(c->pool, "%-40s %s", text(d, "directive"), text(d, "at")));
    }
}

int ctl_explain(ctl_t *c)
{
    ctl_answer_t answer;
    const char *error = ctl_ask_status(c, question(c), &answer);
    json_t *all = error ? NULL : json_loadb(answer.body, answer.len, 0, NULL);
    int rv = CTL_OK;

    if (error) {
        return ctl_fail(c, "%s", error);
    }
    if (answer.status == 414) {
        rv = ctl_wrong(c, "the URL is too long for the server: LimitRequestLine");
    } else if (!json_is_object(all)) {
        rv = ctl_fail(c, CTL_NO_STATUS, c->url, answer.status);
    } else if (answer.status != 200) {
        rv = ctl_fail(c, "the server refuses (%ld): %s", answer.status,
                      text(all, "error"));
        rv = answer.status == 400 ? CTL_WRONG : rv;
    } else if (c->json) {
        ctl_print_json(all);
    } else {
        print_all(c, all);
    }
    json_decref(all);
    return rv;
}
