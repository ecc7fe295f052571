/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dialects of purging.
 *
 *     PURGE url                       that URL; "*" or ".*" at its end: all that begin so
 *       X-Purge-Method                default or exact, prefix, regex, ban-regex, tags
 *       X-VC-Purge-Method             the same (WordPress, by way of Varnish)
 *       Cache-Tag, Surrogate-Key, …   what bears one of these tags, whatever its URL
 *       X-Magento-Tags-Pattern, …     likewise, as a regular expression of literals
 *     PURGEKEYS, PURGETAGS            by tags only (FOSHttpCache)
 *     BAN                             X-Host, X-Url: regular expressions; tags as
 *                                     patterns (FOSHttpCache, Drupal); or the URL as one
 *     BAN /                           everything (Shopware)
 *     REFRESH url                     PURGE, soft
 *
 *     DevCache-Purge-Field: n: regex  responses with this field; X-Content-Type: regex
 *     DevCache-Purge-Soft: 1          expire rather than remove; Fastly-Soft-Purge: 1
 *     DevCache-Purge-Device: class    only what visitors with this class are given
 *     DevCache-Purge-Wait: seconds    for the other machines
 *     DevCache-Purge-Refill: 1        fetch again what goes
 *
 * The table below has every field that says what to purge. Whoever sends one that is not in
 * it believes that it narrows or widens the purge, and must not be told that all is done:
 * a field that looks like an instruction and is none of ours is refused. In a BAN by
 * conditions FOSHttpCache may put any response's field, so there the rule is turned round:
 * what is not known to be an ordinary field of a request is refused.
 */
#include "purge/dialect.h"

#include <apr_strings.h>
#include <strings.h>
#include "http/field.h"
#include "purge/pattern.h"

#define BAD_REQUEST 400
#define NOT_IMPLEMENTED 501
#define WAIT_MAX apr_time_from_sec(60)

const char *const devcache_dialect_methods[] = {"PURGE",     "BAN",     "PURGEKEYS",
                                                "PURGETAGS", "REFRESH", NULL};

/* ---- fields ---------------------------------------------------------------------- */

typedef enum kind_e {
    HOW,       /* how the URL is meant */
    TAGS,      /* a list of tags to be removed */
    SOFT_TAGS, /* a list of tags to be expired */
    PATTERN,   /* tags as a regular expression */
    HOST,      /* a regular expression over hosts */
    URL,       /* a regular expression over URLs */
    FIELD,     /* a field of responses and a regular expression over its value */
    TYPE,      /* a regular expression over Content-Type */
    ALL,       /* everything, if it says yes */
    SITE,      /* with ALL: the tag that all of it bears */
    SOFT,      /* expire, if it says yes */
    DEVICE,
    WAIT,   /* for the other machines */
    REFILL, /* fetch again what goes, if it says yes */
    TOKEN,  /* says who asks, which is httpd's to judge */
    NEVER   /* known, and cannot be done */
} kind_e;

static const struct {
    const char *name;
    kind_e kind;
} fields[] = {
    {"X-Purge-Method", HOW},
    {"X-VC-Purge-Method", HOW},
    {"xkey-purge", TAGS},
    {"xkey-softpurge", SOFT_TAGS},
    {"X-Shopware-Invalidates", TAGS},
    {"Varnish-Ban-TYPO3-Pid", TAGS},
    {"X-Cache-Tags-Pattern", PATTERN},
    {"X-Magento-Tags-Pattern", PATTERN},
    {"X-Pool", PATTERN},
    {"X-Host", HOST},
    {"X-VC-Purge-Host", HOST},
    {"X-Url", URL},
    {"X-Ban-Regex", URL},
    {"X-Content-Type", TYPE},
    {"Clear-Cache", ALL},
    {"X-Ban-All", ALL},
    {"Varnish-Ban-All", ALL},
    {"Varnish-Ban-TYPO3-Sitename", SITE},
    {"DevCache-Purge-Soft", SOFT},
    {"Fastly-Soft-Purge", SOFT},
    {"DevCache-Purge-Device", DEVICE},
    {"DevCache-Purge-Wait", WAIT},
    {"DevCache-Purge-Refill", REFILL},
    {"X-Acquia-Purge", TOKEN},
    {"X-Location-Id", NEVER},
    {"DevCache-Purge-Field", FIELD},
    {"Surrogate-Capability", TOKEN},
};
#define FIELDS (sizeof fields / sizeof *fields)

/* Parts of a field's name that make it an instruction, and those that make it a secret. */
static const char *const instructions[] = {
    "ban",       "bans",    "flush", "invalidate", "invalidates", "key",    "keys",
    "litespeed", "pattern", "purge", "refresh",    "regex",       "regexp", "softpurge",
    "surrogate", "tag",     "tags",  "typo3",      "xkey",        NULL,
};

/* What any client or the proxies before us put into a request; "*": begins so. */
static const char *const ordinary[] = {
    "Host",         "User-Agent",      "Accept*",      "Connection",
    "Keep-Alive",   "Content-*",       "Transfer-*",   "Authorization",
    "Cookie",       "Cache-Control",   "Pragma",       "Via",
    "Forwarded",    "X-Forwarded-*",   "X-Real-IP",    "X-Client-*",
    "X-Request-*",  "X-Correlation-*", "Trace*",       "Baggage",
    "B3",           "X-B3-*",          "Sentry-Trace", "Date",
    "Expect",       "Referer",         "Origin",       "TE",
    "Proxy-*",      "Sec-*",           "Priority",     "DNT",
    "X-Amzn-*",     "X-Cloud-*",       "CF-*",         "CDN-Loop",
    "CloudFront-*", "True-Client-IP",  "Upgrade*",     "From",
    NULL,
};

static const char *field(const devcache_asked_t *a, const char *name)
{
    return apr_table_get(a->headers, name);
}

static int is_method(const devcache_asked_t *a, const char *name)
{
    return !strcmp(a->method, name);
}

static int says_yes(const char *value)
{
    return *value && strcmp(value, "0") && strcasecmp(value, "false") != 0;
}

static int is_named(const devcache_asked_t *a, const char *name)
{
    int i;

    for (i = 0; i < a->tag_names->nelts; i++) {
        if (!strcasecmp(APR_ARRAY_IDX(a->tag_names, i, const char *), name)) {
            return 1;
        }
    }
    return 0;
}

static int is_ordinary(const char *name)
{
    int i;

    for (i = 0; ordinary[i]; i++) {
        apr_size_t len = strlen(ordinary[i]);

        if (ordinary[i][len - 1] == '*' ? !strncasecmp(ordinary[i], name, len - 1)
                                        : !strcasecmp(ordinary[i], name)) {
            return 1;
        }
    }
    return 0;
}

/* ---- what the fields say ------------------------------------------------------------ */

typedef struct said_t {
    const devcache_asked_t *asked;
    apr_pool_t *pool;
    const char *how;  /* NULL: it does not say */
    const char *host; /* regular expressions; NULL: it does not say */
    const char *url;
    const char *device;
    const char *site;
    const char *unknown; /* a field that is not ordinary */
    const char *error;
    int status, all, soft, tagged, refill;
    apr_interval_time_t wait; /* -1: it does not say */
    devcache_tags_t hard_tags, soft_tags;
    apr_array_header_t *fields; /* devcache_ban_field_t */
} said_t;

static void refuse(said_t *said, int status, const char *name, const char *why)
{
    if (!said->error) {
        said->status = status;
        said->error = apr_pstrcat(said->pool, name, why, NULL);
    }
}

/* ".*" is what purgers send where they mean no condition. */
static void add_field(said_t *said, const char *name, const char *regex)
{
    devcache_ban_field_t f = {name, regex};

    if (strcmp(regex, ".*")) {
        APR_ARRAY_PUSH(said->fields, devcache_ban_field_t) = f;
    }
}

/* "Content-Type: ^image/". */
static void read_field(said_t *said, const char *name, const char *value)
{
    const char *colon = strchr(value, ':');

    if (!colon ||
        !devcache_field_is_token(devcache_slice(value, (apr_size_t)(colon - value))) ||
        !colon[1 + strspn(colon + 1, " \t")]) {
        refuse(said, BAD_REQUEST, name,
               " is not a field's name, a colon and a regular "
               "expression");
        return;
    }
    add_field(said, apr_pstrmemdup(said->pool, value, (apr_size_t)(colon - value)),
              colon + 1 + strspn(colon + 1, " \t"));
}

static void read_value(said_t *said, kind_e kind, const char *name, const char *value)
{
    switch (kind) {
    case HOW:
        said->how = value;
        break;
    case TAGS:
    case SOFT_TAGS:
        devcache_ban_tags_list(kind == TAGS ? &said->hard_tags : &said->soft_tags, value);
        said->tagged = 1;
        break;
    case PATTERN:
        devcache_ban_tags_pattern(&said->hard_tags, value, said->pool);
        said->tagged = 1;
        break;
    case HOST:
        said->host = value;
        break;
    case URL:
        said->url = value;
        break;
    case FIELD:
        read_field(said, name, value);
        break;
    case TYPE:
        add_field(said, "Content-Type", value);
        break;
    case NEVER:
        refuse(said, NOT_IMPLEMENTED, name,
               ": responses cannot be purged by that; purge by tags, by URL, or by "
               "DevCache-Purge-Field");
        break;
    case ALL:
        said->all |= says_yes(value);
        break;
    case SITE:
        said->site = value;
        break;
    case SOFT:
        said->soft |= says_yes(value);
        break;
    case DEVICE:
        said->device = value;
        break;
    case WAIT:
        said->wait = apr_time_from_sec(devcache_field_delta(devcache_slice_str(value)));
        if (said->wait < 0 || said->wait > WAIT_MAX) {
            refuse(said, BAD_REQUEST, name, " is not a number of seconds from 0 to 60");
        }
        break;
    case REFILL:
        said->refill |= says_yes(value);
        break;
    case TOKEN:
        break;
    }
}

/* A field that is not in the table. */
static void read_other(said_t *said, const char *name, const char *value)
{
    const devcache_asked_t *a = said->asked;

    if (is_named(a, name)) {
        if (is_method(a, "BAN")) {
            devcache_ban_tags_pattern(&said->hard_tags, value, said->pool);
        } else {
            devcache_ban_tags_list(&said->hard_tags, value);
        }
        said->tagged = 1;
    } else if (!strcasecmp(name, "key") && !strcmp(a->path, "/") && !a->query &&
               is_method(a, "PURGE")) {
        read_value(said, TAGS, name, value); /* eZ Platform 1 */
    } else if (is_ordinary(name) || devcache_field_is_secret(name) ||
               (a->own && !strcasecmp(name, a->own))) {
        /* The cache of FOSHttpCache's user contexts: those are not stored here. */
        if (!strcasecmp(name, "Accept") && strstr(value, "vnd.fos.user-context-hash")) {
            said->unknown = name;
        }
    } else if (devcache_field_has_part(name, instructions) &&
               strcasecmp(name, "key") != 0) {
        refuse(said, BAD_REQUEST, name,
               ": this cache does not know what that purges; tags are read from the "
               "fields of DevCacheTagHeader");
    } else if (strcmp(value, ".*")) {
        said->unknown = name;
    }
}

static void read_fields(said_t *said)
{
    const apr_array_header_t *all = apr_table_elts(said->asked->headers);
    int i;

    for (i = 0; i < all->nelts; i++) {
        const apr_table_entry_t *e = &APR_ARRAY_IDX(all, i, apr_table_entry_t);
        apr_size_t f;

        for (f = 0; f < FIELDS && strcasecmp(fields[f].name, e->key); f++) {
        }
        if (f < FIELDS) {
            read_value(said, fields[f].kind, fields[f].name, e->val);
        } else {
            read_other(said, e->key, e->val);
        }
    }
}

/* ---- the URL ------------------------------------------------------------------------- */

/* The URL as sent, as a regular expression needs it. */
static const char *sent_text(const devcache_asked_t *a, apr_pool_t *p)
{
    return a->query ? apr_pstrcat(p, a->sent, "?", a->query, NULL) : a->sent;
}

static const char *decoded_text(const devcache_asked_t *a, apr_pool_t *p)
{
    return a->query
               ? apr_pstrcat(p, a->path, "?", devcache_pattern_decode(a->query, p), NULL)
               : a->path;
}

static int has_wildcard(const devcache_asked_t *a, const char *stars)
{
    return (stars && strchr(stars, '*')) || (a->query && strchr(a->query, '*'));
}

/* Is each asterisk of a BAN's URL a wildcard, rather than part of an expression? */
static int is_wildcard_only(const char *url)
{
    const char *star = strchr(url, '*');

    if (!star || strpbrk(url, "\\^$[]|()+{}")) {
        return 0;
    }
    for (; star; star = strchr(star + 1, '*')) {
        if (star > url && star[-1] == '.') {
            return 0;
        }
    }
    return 1;
}

static void read_wildcard(said_t *said, devcache_ban_t *ban, const char *stars)
{
    if (!stars) {
        refuse(said, BAD_REQUEST, "the URL",
               " has both * and %2A and dots between slashes: write it without these");
        return;
    }
    ban->url = devcache_pattern_wildcard(said->asked->path, stars, said->asked->query,
                                         said->pool);
}

static int how_is(const said_t *said, const char *word)
{
    return said->how && devcache_field_is(devcache_slice_str(said->how), word);
}

/* How the URL is meant, if there are no tags and no conditions. */
static void read_url(said_t *said, devcache_plan_t *plan)
{
    const devcache_asked_t *a = said->asked;
    const char *stars = devcache_pattern_stars(a->sent, a->path, said->pool);
    devcache_ban_t *ban = &plan->hard_ban;
    int is_ban = !said->how && is_method(a, "BAN");

    ban->host.how = DEVCACHE_BAN_IS;
    ban->host.text = a->host;
    if (how_is(said, "prefix")) {
        ban->url.how = DEVCACHE_BAN_PREFIX;
        ban->url.text = decoded_text(a, said->pool);
    } else if (how_is(said, "regex") ||
               (is_ban && !is_wildcard_only(sent_text(a, said->pool)))) {
        ban->url = devcache_pattern_regex(sent_text(a, said->pool), 1,
                                          DEVCACHE_PATTERN_URL, said->pool);
    } else if (!said->how && (!stars || has_wildcard(a, stars))) {
        read_wildcard(said, ban, stars);
    } else if (!said->how || how_is(said, "exact") || how_is(said, "default")) {
        plan->exact = 1;
    } else if (how_is(said, "tags")) {
        refuse(said, BAD_REQUEST, "X-Purge-Method",
               ": tags, but none are named by a field of DevCacheTagHeader or "
               "X-Cache-Tags-Pattern: no tags are named");
    } else if (how_is(said, "ban-regex")) {
        refuse(said, BAD_REQUEST, "X-Purge-Method", ": ban-regex needs X-Ban-Regex");
    } else {
        refuse(said, BAD_REQUEST, "X-Purge-Method",
               " is not default, exact, prefix, regex, ban-regex or tags");
    }
}

/* ---- the plan -------------------------------------------------------------------------- */

/* "/" of a BAN, "/site" of Acquia: all there is, on every host, as the program that sends
 * it has the cache's address and not the site's. */
static int is_everything(const said_t *said)
{
    const devcache_asked_t *a = said->asked;

    return said->all || (is_method(a, "BAN") && !said->how && !a->query &&
                         (!strcmp(a->path, "/") ||
                          (!strcmp(a->path, "/site") && field(a, "X-Acquia-Purge"))));
}

static void read_conditions(said_t *said, devcache_ban_t *ban)
{
    if (said->host) {
        ban->host = devcache_pattern_host(said->host, said->pool);
    } else if (!is_method(said->asked, "BAN")) {
        ban->host.how = DEVCACHE_BAN_IS;
        ban->host.text = said->asked->host;
    }
    if (said->url) {
        ban->url = devcache_pattern_regex(said->url, 0, DEVCACHE_PATTERN_FIELD,
                                          said->pool);
    }
}

/* Does X-VC-Purge-Host only repeat what Host says? */
static int is_own_host(const said_t *said)
{
    apr_size_t len = strcspn(said->host, ":");

    return len == strlen(said->asked->host) &&
           !strncasecmp(said->host, said->asked->host, len);
}

static int is_root(const devcache_asked_t *a)
{
    return !strcmp(a->path, "/") && !a->query;
}

static void read_where(said_t *said, devcache_plan_t *plan)
{
    devcache_ban_t *ban = &plan->hard_ban;
    int conditions = said->url || (said->host && is_method(said->asked, "BAN")) ||
                     (said->fields->nelts && is_root(said->asked));

    if (said->unknown && (conditions || said->fields->nelts || is_everything(said))) {
        refuse(said, NOT_IMPLEMENTED, said->unknown,
               ": it is not known what that purges; known are X-Host, X-Url, tags, and "
               "DevCache-Purge-Field with a field of responses and an expression");
    } else if (conditions) {
        read_conditions(said, ban);
    } else if (said->tagged) {
        /* whatever their URL */
    } else if (is_method(said->asked, "PURGEKEYS") ||
               is_method(said->asked, "PURGETAGS")) {
        refuse(said, BAD_REQUEST, said->asked->method,
               ": no tags are named, by xkey-purge, xkey-softpurge or a field of "
               "DevCacheTagHeader");
    } else if (!is_everything(said)) {
        read_url(said, plan);
        if (said->host && !is_own_host(said)) {
            ban->host = devcache_pattern_host(said->host, said->pool);
        }
        if ((said->host && !is_own_host(said)) || said->fields->nelts) {
            ban->url.how = plan->exact ? DEVCACHE_BAN_IS : ban->url.how;
            ban->url.text = plan->exact ? decoded_text(said->asked, said->pool)
                                        : ban->url.text;
            plan->exact = 0;
        }
    }
}

/* Tags of a site with "all of it"; ".*" beside other conditions says nothing. */
static void read_tags(said_t *said, devcache_plan_t *plan)
{
    devcache_tags_t *hard = &said->hard_tags, *soft = &said->soft_tags;

    if (said->all && said->site) {
        devcache_ban_tags_list(hard, said->site);
        said->tagged = 1;
    }
    plan->hard_ban.tags = devcache_ban_tags_end(hard, said->pool);
    plan->soft_ban.tags = devcache_ban_tags_end(soft, said->pool);
    if (hard->error || soft->error) {
        refuse(said, BAD_REQUEST, hard->error ? hard->error : soft->error, "");
    } else if (said->tagged && !plan->hard_ban.tags.data && !plan->soft_ban.tags.data) {
        refuse(said, BAD_REQUEST, "the field for tags", " names none");
    }
    if (hard->all && (said->host || said->url)) {
        plan->hard_ban.tags = devcache_slice(NULL, 0);
    }
}

const char *devcache_dialect_read(const devcache_asked_t *asked, devcache_plan_t *plan,
                                  int *pstatus, apr_pool_t *p)
{
    said_t said = {asked, p};
    devcache_slice_t soft_tags;

    memset(plan, 0, sizeof(*plan));
    said.status = BAD_REQUEST;
    said.wait = -1;
    said.soft = is_method(asked, "REFRESH");
    said.fields = apr_array_make(p, 2, sizeof(devcache_ban_field_t));
    devcache_ban_tags_begin(&said.hard_tags, p);
    devcache_ban_tags_begin(&said.soft_tags, p);
    read_fields(&said);
    read_tags(&said, plan);
    read_where(&said, plan);
    soft_tags = plan->soft_ban.tags;
    if (said.soft && soft_tags.data && plan->hard_ban.tags.data) {
        refuse(&said, BAD_REQUEST, "a soft purge and xkey-purge",
               " contradict each other");
    }
    *pstatus = said.status;
    if (said.error) {
        return said.error;
    }
    plan->wait = said.wait;
    plan->refill = said.refill;
    plan->hard_ban.fields = said.fields->nelts ? said.fields : NULL;
    plan->hard_ban.device = said.device;
    plan->soft_ban = plan->hard_ban;
    plan->soft = said.soft || soft_tags.data;
    plan->hard = soft_tags.data ? plan->hard_ban.tags.data != NULL : !said.soft;
    if (soft_tags.data) {
        plan->soft_ban.tags = soft_tags;
    }
    return NULL;
}
