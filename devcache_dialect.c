/*
 * Dialects of purging.
 *
 *     PURGE url                       that URL; "*" or ".*" at its end: all that begin so
 *       X-Purge-Method                default or exact, prefix, regex, tags
 *       X-VC-Purge-Method             the same (WordPress, by way of Varnish)
 *       Cache-Tag, Surrogate-Key, …   what bears one of these tags, whatever its URL
 *       xkey-purge, xkey-softpurge    likewise
 *       X-Cache-Tags-Pattern          likewise, as a regular expression of literals
 *     PURGEKEYS                       by tags only (FOSHttpCache with xkey)
 *     BAN                             X-Host, X-Url: regular expressions; tags as
 * patterns (FOSHttpCache, Drupal); or the URL as one REFRESH url PURGE, soft
 *
 *     DevCache-Purge-Soft: 1          expire rather than remove; Fastly-Soft-Purge: 1
 *     DevCache-Purge-Device: class    only what visitors with this class are given
 *
 * A pattern that is a literal and ".*" becomes a prefix, which costs far less to look
 * for.
 */
#include "devcache_dialect.h"

#include <apr_strings.h>
#include "devcache_field.h"

#define BAD_REQUEST 400
#define NOT_IMPLEMENTED 501

const char *const devcache_dialect_methods[] = {"PURGE", "BAN", "PURGEKEYS", "REFRESH",
                                                NULL};

static const char *field(const devcache_asked_t *a, const char *name)
{
    return apr_table_get(a->headers, name);
}

static int is_method(const devcache_asked_t *a, const char *name)
{
    return !strcmp(a->method, name);
}

/* ---- patterns ------------------------------------------------------------------ */

static const char meta[] = "\\^$.[]|()?*+{}";

/* Bytes of @a s before the first that a regular expression takes for its own. */
static apr_size_t literal_length(const char *s)
{
    return strcspn(s, meta);
}

/* A regular expression as the cheapest condition that means the same. */
static devcache_ban_text_t from_regex(const char *regex, int anchored, apr_pool_t *p)
{
    devcache_ban_text_t t = {DEVCACHE_BAN_REGEX, regex};
    const char *rest = regex + (*regex == '^');
    apr_size_t len = literal_length(rest);

    const char *end = rest + len;
    int open = !strcmp(end, ".*") || !strcmp(end, ".*$");

    if (open && len == 0) {
        t.how = DEVCACHE_BAN_ANY;
    } else if ((anchored || *regex == '^') && (open || !*end || !strcmp(end, "$"))) {
        t.how = *end == '$' ? DEVCACHE_BAN_IS : DEVCACHE_BAN_PREFIX;
        t.text = apr_pstrmemdup(p, rest, len);
    } else if (anchored) {
        t.text = apr_pstrcat(p, "^(?:", regex, ")", NULL);
    }
    return t;
}

/* A URL in which "*" stands for anything. */
static devcache_ban_text_t from_wildcard(const char *url, apr_pool_t *p)
{
    devcache_ban_text_t t = {DEVCACHE_BAN_PREFIX, NULL};
    apr_size_t len = strcspn(url, "*");
    char *out, *at;

    if (!url[len + 1]) { /* it is the last character */
        len -= len > 0 && url[len - 1] == '.';
        t.text = apr_pstrmemdup(p, url, len);
        return t;
    }
    t.how = DEVCACHE_BAN_REGEX;
    out = at = apr_palloc(p, strlen(url) * 2 + 3);
    *at++ = '^';
    for (; *url; url++) {
        if (*url == '*') {
            *at++ = '.';
        } else if (strchr(meta, *url)) {
            *at++ = '\\';
        }
        *at++ = *url;
    }
    *at++ = '$';
    *at = '\0';
    t.text = out;
    return t;
}

static const char *url_text(const devcache_asked_t *a, apr_pool_t *p)
{
    return a->query ? apr_pstrcat(p, a->path, "?", a->query, NULL) : a->path;
}

/* ---- tags -------------------------------------------------------------------------- */

/* Tags that stand in the fields named; patterns in a BAN, lists else.
 * @return 1 if there is such a field */
static int add_named(const devcache_asked_t *a, devcache_tags_t *tags, apr_pool_t *p)
{
    const apr_array_header_t *names = a->tag_names;
    const char *value;
    int i, index, found = 0;

    for (i = 0; i < names->nelts; i++) {
        const char *name = APR_ARRAY_IDX(names, i, const char *);

        index = 0;
        while ((value = devcache_field_line(a->headers, name, &index)) != NULL) {
            found = 1;
            if (is_method(a, "BAN")) {
                devcache_ban_tags_pattern(tags, value, p);
            } else {
                devcache_ban_tags_list(tags, value);
            }
        }
    }
    return found;
}

static void add_field(const devcache_asked_t *a, const char *name, devcache_tags_t *tags)
{
    const char *value;
    int index = 0;

    while ((value = devcache_field_line(a->headers, name, &index)) != NULL) {
        devcache_ban_tags_list(tags, value);
    }
}

/* @return what is wrong; tags data NULL: none were named */
static const char *read_tags(const devcache_asked_t *a, devcache_plan_t *plan,
                             apr_pool_t *p)
{
    const char *pattern = field(a, "X-Cache-Tags-Pattern");
    devcache_tags_t hard, soft;
    int named = pattern || field(a, "xkey-purge") || field(a, "xkey-softpurge");

    devcache_ban_tags_begin(&hard, p);
    devcache_ban_tags_begin(&soft, p);
    named |= add_named(a, &hard, p);
    add_field(a, "xkey-purge", &hard);
    add_field(a, "xkey-softpurge", &soft);
    if (pattern) {
        devcache_ban_tags_pattern(&hard, pattern, p);
    }
    plan->hard_ban.tags = devcache_ban_tags_end(&hard, p);
    plan->soft_ban.tags = devcache_ban_tags_end(&soft, p);
    if (named && !hard.error && !soft.error && hard.hashes->nelts == 0 &&
        soft.hashes->nelts == 0) {
        return "the field for tags names none";
    }
    return hard.error ? hard.error : soft.error;
}

/* ---- the rest of a request ------------------------------------------------------------
 */

static int says_yes(const devcache_asked_t *a, const char *name)
{
    const char *value = field(a, name);

    return value && strcmp(value, "0") && *value;
}

/* How the URL is meant; *ptags: by tags, not by URL. */
static const char *read_url(const devcache_asked_t *a, devcache_plan_t *plan, int *ptags,
                            apr_pool_t *p)
{
    const char *how = field(a, "X-Purge-Method");
    const char *url = url_text(a, p);
    devcache_ban_t *ban = &plan->hard_ban;

    how = how ? how : field(a, "X-VC-Purge-Method");
    *ptags = 0;
    ban->host.how = DEVCACHE_BAN_IS;
    ban->host.text = a->host;
    if (how && devcache_field_is(devcache_slice_str(how), "tags")) {
        *ptags = 1;
    } else if (how && devcache_field_is(devcache_slice_str(how), "prefix")) {
        ban->url.how = DEVCACHE_BAN_PREFIX;
        ban->url.text = url;
    } else if ((how && devcache_field_is(devcache_slice_str(how), "regex")) ||
               (!how && is_method(a, "BAN"))) {
        ban->url = from_regex(url, 1, p);
    } else if (!how && strchr(url, '*')) {
        ban->url = from_wildcard(url, p);
    } else if (!how || devcache_field_is(devcache_slice_str(how), "exact") ||
               devcache_field_is(devcache_slice_str(how), "default")) {
        plan->exact = 1;
    } else {
        return "X-Purge-Method is not default, exact, prefix, regex or tags";
    }
    return NULL;
}

/* The conditions of a BAN; 0 if it has none of those. */
static int read_conditions(const devcache_asked_t *a, devcache_ban_t *ban, apr_pool_t *p)
{
    const char *host = field(a, "X-Host"), *url = field(a, "X-Url");

    if (host) {
        ban->host = from_regex(host, 0, p);
    }
    if (url) {
        ban->url = from_regex(url, 0, p);
    }
    return host || url;
}

static const char *read_ban(const devcache_asked_t *a, devcache_plan_t *plan, int tagged,
                            int *pstatus, apr_pool_t *p)
{
    const char *type = field(a, "X-Content-Type");
    int by_tags;

    if (type && strcmp(type, ".*")) {
        *pstatus = NOT_IMPLEMENTED;
        return "X-Content-Type: responses cannot be purged by their type";
    }
    if (read_conditions(a, &plan->hard_ban, p) || tagged) {
        return NULL;
    }
    if (!strcmp(a->path, "/") && !a->query && !field(a, "X-Purge-Method")) {
        return "a BAN needs X-Host and X-Url, or tags, or a URL that is not / alone";
    }
    return read_url(a, plan, &by_tags, p);
}

static const char *read_where(const devcache_asked_t *a, devcache_plan_t *plan,
                              int *pstatus, apr_pool_t *p)
{
    int tagged = plan->hard_ban.tags.data || plan->soft_ban.tags.data;
    int by_tags = is_method(a, "PURGEKEYS");
    const char *error = NULL;

    if (is_method(a, "BAN")) {
        return read_ban(a, plan, tagged, pstatus, p);
    }
    if (!tagged && !by_tags) {
        error = read_url(a, plan, &by_tags, p);
    }
    if (!error && by_tags && !tagged) {
        error = "no tags are named: by xkey-purge, xkey-softpurge or a field of "
                "DevCacheTagHeader";
    }
    return error;
}

const char *devcache_dialect_read(const devcache_asked_t *asked, devcache_plan_t *plan,
                                  int *pstatus, apr_pool_t *p)
{
    int soft = says_yes(asked, "DevCache-Purge-Soft") ||
               says_yes(asked, "Fastly-Soft-Purge") || is_method(asked, "REFRESH");
    devcache_slice_t soft_tags;
    const char *error;

    memset(plan, 0, sizeof(*plan));
    *pstatus = BAD_REQUEST;
    error = read_tags(asked, plan, p);
    if (!error) {
        error = read_where(asked, plan, pstatus, p);
    }
    if (error) {
        return error;
    }
    plan->hard_ban.device = field(asked, "DevCache-Purge-Device");
    soft_tags = plan->soft_ban.tags;
    plan->soft_ban = plan->hard_ban;
    if (soft && soft_tags.data && plan->hard_ban.tags.data) {
        return "a soft purge and xkey-purge contradict each other";
    }
    if (soft_tags.data) {
        plan->soft_ban.tags = soft_tags;
        plan->soft = 1;
        plan->hard = plan->hard_ban.tags.data != NULL;
    } else {
        plan->soft = soft;
        plan->hard = !soft;
    }
    return NULL;
}
