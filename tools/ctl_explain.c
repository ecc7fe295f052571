/* SPDX-License-Identifier: Apache-2.0 */
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
    {"hit-refresh", "served from the cache, fresh, and refreshed then "
                    "(DevCacheRefreshAhead)"},
    {"stale", "served from the cache, stale, as the request allows (max-stale)"},
    {"stale-refresh", "served from the cache, stale, and refreshed then "
                      "(stale-while-revalidate)"},
    {"stale-error", "served from the cache, stale, as the origin failed a moment ago "
                    "(stale-if-error)"},
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

/* What of the request keeps its answer from being stored, and what would mend that. */
static void print_odd(ctl_t *c, const char *what, const json_t *odd)
{
    if (odd) {
        line(what, apr_psprintf(c->pool, "%s: %s", text(odd, "name"), text(odd, "why")));
        if (*text(odd, "write")) {
            line("write", text(odd, "write"));
        }
    }
}

/* Is it no hit only because a browser would have said which codings it takes? */
static int asks_for_too_little(const json_t *all)
{
    const json_t *differs = json_object_get(all, "differs"), *one;
    size_t i;

    json_array_foreach(differs, i, one)
    {
        if (!strcmp(text(one, "name"), "accept-encoding")) {
            return !strcmp(text(one, "asked"), "absent");
        }
    }
    return !differs;
}

static const char *joined(ctl_t *c, const json_t *names)
{
    const char *all = "";
    const json_t *one;
    size_t i;

    json_array_foreach(names, i, one)
    {
        const char *name = json_string_value(one);
        all = apr_pstrcat(c->pool, all, i ? ", " : "", name ? name : "", NULL);
    }
    return all;
}

/* Which cookies count here, and how they would not. */
static void print_cookies(ctl_t *c, const json_t *all)
{
    const json_t *cookies = json_object_get(all, "cookies");
    const char *counting = joined(c, json_object_get(cookies, "counting"));
    const char *left_out = joined(c, json_object_get(cookies, "left_out"));

    if (*counting) {
        line("cookies",
             apr_pstrcat(c->pool, "these count: ", counting,
                         json_is_true(json_object_get(cookies, "looked_at"))
                             ? "; the configuration itself has looked at Cookie"
                             : "; Vary: Cookie compares them, and where you give the "
                               "lifetime nothing is stored for them",
                         NULL));
    }
    if (*text(cookies, "write") && !json_object_get(all, "odd_cookie")) {
        line("write",
             apr_pstrcat(c->pool, text(cookies, "write"),
                         ", or only those of them that pages do not depend on", NULL));
    }
    if (*left_out) {
        line(*counting ? "" : "cookies",
             apr_pstrcat(c->pool, "these do not, and are not sent: ", left_out, NULL));
    }
}

/* Is it asked for by slices, and why not now? */
static void print_slices(ctl_t *c, const json_t *slices)
{
    if (!slices) {
        return;
    }
    line("slices",
         json_is_true(json_object_get(slices, "avoided"))
             ? "none, for a minute after the last one that could not be had or used: the "
               "origin is asked as visitors ask, and what is stored by slices is left "
               "aside; DEVCACHE_REASON and DC0130 in the logs say what was wrong with it"
             : apr_psprintf(c->pool, "of %d bytes, by %s", (int)number(slices, "bytes"),
                            directive(c, json_object_get(slices, "by"))));
}

/* In what the nearest stored variant differs. */
static void print_differs(ctl_t *c, const json_t *differs)
{
    const json_t *one;
    size_t i;

    json_array_foreach(differs, i, one)
    {
        line(i ? "" : "differs",
             json_object_get(one, "asked")
                 ? apr_psprintf(c->pool, "%s: stored for \"%s\", asked with \"%s\"",
                                text(one, "name"), text(one, "stored"),
                                text(one, "asked"))
                 : text(one, "name"));
    }
}

static void print_answer(ctl_t *c, const json_t *all)
{
    const json_t *because = json_object_get(all, "because");
    const json_t *by = json_object_get(all, "decided_by");
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
        if (!strcmp(text(because, "reason"), "vary") && asks_for_too_little(all)) {
            line("", "browsers send more: try -H 'Accept-Encoding: gzip, deflate, br, "
                     "zstd'; devcachectl show has what is stored, and for which fields");
        }
    }
    print_differs(c, json_object_get(all, "differs"));
    print_odd(c, "field", json_object_get(all, "odd_field"));
    print_odd(c, "cookie", json_object_get(all, "odd_cookie"));
    print_cookies(c, all);
    print_slices(c, json_object_get(all, "slices"));
    if (by) {
        line("by", directive(c, by));
    }
    if (json_object_get(all, "stored_only_if_shareable")) {
        line("", "stored only if the answer says public, s-maxage or must-revalidate");
    }
}

/* What nobody states: a part of the time since Last-Modified. */
static const char *guess(ctl_t *c, const json_t *life)
{
    const json_t *d = json_object_get(life, "directive");

    return apr_psprintf(
        c->pool, "a guess: %d %% of the time since Last-Modified, at most %d s, by %s",
        (int)number(life, "percent"), (int)number(life, "at_most"),
        d ? directive(c, d) : "default (DevCacheHeuristic)");
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
          : !strcmp(by, "guess")     ? guess(c, life)
          : !strcmp(by, "nobody")
              ? "nobody: validated at each use"
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

/* What a server of DevCacheTier has for it. */
static const char *holding(ctl_t *c, const json_t *tier)
{
    static const struct {
        const char *holds, *meaning;
    } all[] = {
        {"unknown", "it gave no answer"},
        {"nothing", "it has nothing"},
        {"damaged", "what it has is damaged, or not signed with our key"},
        {"expired", "what it has is too old"},
        {"purged", "what it has is from before a purge, or perhaps is"},
    };
    const char *holds = text(tier, "holds");
    size_t i;

    for (i = 0; i < sizeof(all) / sizeof(*all); i++) {
        if (!strcmp(all[i].holds, holds)) {
            return all[i].meaning;
        }
    }
    return apr_psprintf(
        c->pool, "it has %d bytes, %d s old, fresh for %s%s", (int)number(tier, "size"),
        (int)number(tier, "age"), ctl_duration(number(tier, "ttl"), c->pool),
        json_is_true(json_object_get(tier, "fits")) ? ""
                                                    : "; not for a request like this");
}

static void print_tier(ctl_t *c, const json_t *tier)
{
    const char *server = text(tier, "server"), *trouble = text(tier, "trouble");
    const char *not_asked = text(tier, "not_asked"), *not_put = text(tier, "not_put");

    line("tier", *not_asked ? apr_pstrcat(c->pool, "not asked: ", not_asked, NULL)
                            : "asked before the origin");
    if (*server) {
        line("", apr_pstrcat(c->pool, server, ": ", holding(c, tier), NULL));
    }
    if (*trouble) {
        line("", apr_pstrcat(c->pool, *server ? "" : "no server can be used: ", trouble,
                             NULL));
    }
    if (*not_put && strcmp(not_put, trouble)) {
        line("", apr_pstrcat(c->pool, "not put there: ", not_put, NULL));
    }
}

/* The directives of that name, or @a none. */
static const char *named(ctl_t *c, const json_t *all, const char *name, const char *none)
{
    const char *found = NULL;
    const json_t *d;
    size_t i, len = strlen(name);

    json_array_foreach(json_object_get(all, "directives"), i, d)
    {
        const char *said = text(d, "directive");
        if (!strncmp(said, name, len) && said[len] == ' ') {
            found = apr_pstrcat(c->pool, found ? found : "", found ? ", " : "",
                                directive(c, d), NULL);
        }
    }
    return found ? found : none;
}

/* Where a lifetime will come from, when there is none yet. */
static void print_prospect(ctl_t *c, const json_t *all)
{
    const char *forced = named(c, all, "DevCacheForceTTL", NULL);
    const char *given = named(c, all, "DevCacheDefaultTTL", NULL);

    line("lifetime",
         apr_pstrcat(c->pool, forced ? "will be by " : "what the origin states",
                     forced ? forced : "", forced ? "; else what the origin states" : "",
                     given ? ", else by " : "", given ? given : "",
                     ", else a guess from Last-Modified (",
                     named(c, all, "DevCacheHeuristic", "DevCacheHeuristic 10 1h"), ")",
                     NULL));
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
    if (json_is_object(json_object_get(all, "tier"))) {
        print_tier(c, json_object_get(all, "tier"));
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
