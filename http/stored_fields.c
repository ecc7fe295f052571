/* SPDX-License-Identifier: Apache-2.0 */
#include "http/policy.h"

#include <apr_hash.h>

#include "http/directive.h"
#include "http/field.h"

/*
 * Which fields are kept, and how a 304 renews them (RFC 9111 sections 3.1 and 3.2).
 *
 * Both work from one set of forbidden names: those of a connection or a proxy hop, those
 * that Connection names, those that the origin listed in no-cache="..." or private="...".
 * Stripping listed fields is the plain way to honour such a list: what is not kept needs
 * no validation and reaches nobody else.
 *
 * The lists are the sender's and may have tens of thousands of members, hence a hash and
 * not a search per line. Most responses list nothing and get no hash.
 */

/* RFC 9111 section 3.1 and RFC 9110 section 7.6.1. Trailer announces what is not kept. */
static const char *const hop_fields[] = {
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "proxy-authorization",
    "proxy-authentication-info",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
};

/* Without these the copy would not be the response any more, whoever lists them. */
static const char *const essential_fields[] = {
    "cache-control", "content-encoding", "content-length", "content-type",
    "date",          "expires",          "vary",
};

/* RFC 9111 section 3.2: these describe the stored body, which a 304 does not have. */
static const char *const body_fields[] = {
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
};

static const char *const age_field[] = {"age"}; /* said anew at each use */
static const char *const cookie_fields[] = {"set-cookie", "set-cookie2"};

#define N(array) (sizeof(array) / sizeof(*(array)))

/* A set of names that is made when the first comes in: mostly none does. */
typedef struct {
    apr_hash_t *set;
    apr_pool_t *p;
} names_t;

static void add_name(names_t *names, const char *lower)
{
    if (!names->set) {
        names->set = apr_hash_make(names->p);
    }
    apr_hash_set(names->set, lower, APR_HASH_KEY_STRING, lower);
}

static void add_list(names_t *names, const char *list)
{
    devcache_slice_t name;

    while (devcache_field_next(&list, &name)) {
        add_name(names, devcache_field_lower(name.data, name.len, names->p));
    }
}

/* Can there be a directive with a list of names in these lines? */
static int may_list(const apr_table_t *headers, const char *field)
{
    const char *line;
    int index = 0;

    while ((line = devcache_field_line(headers, field, &index)) != NULL) {
        const char *at = line;
        for (; (at = strchr(at, '=')) != NULL; at++) {
            if ((at - line >= 8 && strncasecmp(at - 8, "no-cache", 8) == 0) ||
                (at - line >= 7 && strncasecmp(at - 7, "private", 7) == 0)) {
                return 1;
            }
        }
    }
    return 0;
}

static void add_listed(names_t *names, const apr_array_header_t *targets,
                       const apr_table_t *headers)
{
    int lists = may_list(headers, "Cache-Control");
    devcache_directives_t said;
    int i;

    for (i = 0; targets && i < targets->nelts && !lists; i++) {
        const char *target = APR_ARRAY_IDX(targets, i, const char *);

        lists = apr_table_get(headers, target) && may_list(headers, target);
    }
    if (!lists) {
        return;
    }
    devcache_directive_response(targets, headers, &said, names->p);
    for (i = 0; said.listed && i < said.listed->nelts; i++) {
        add_list(names, APR_ARRAY_IDX(said.listed, i, const char *));
    }
}

/* The names that @a headers says are not to be kept. */
static names_t forbidden(const apr_array_header_t *targets, const apr_table_t *headers,
                         apr_pool_t *p)
{
    names_t names = {NULL, p};
    const char *line;
    int index = 0;
    apr_size_t i;

    if (apr_table_get(headers, "Connection")) {
        while ((line = devcache_field_line(headers, "Connection", &index)) != NULL) {
            add_list(&names, line);
        }
    }
    add_listed(&names, targets, headers);
    for (i = 0; names.set && i < N(essential_fields); i++) {
        apr_hash_set(names.set, essential_fields[i], APR_HASH_KEY_STRING, NULL);
    }
    return names;
}

static int is_one_of(const char *name, const char *const *lower, apr_size_t n)
{
    char first = devcache_field_lower_char(*name);
    apr_size_t i;

    for (i = 0; i < n; i++) {
        if (lower[i][0] == first && strcasecmp(name, lower[i]) == 0) {
            return 1;
        }
    }
    return 0;
}

/* What the names in hop_fields, age_field and cookie_fields are like: for each first letter
 * their lengths, as bits. Hardly a field need be looked for in these lists. */
#define LENGTH(name) (1u << (sizeof(name) - 1))
static const unsigned lengths[32] = {
    ['a' & 31] = LENGTH("age"),
    ['c' & 31] = LENGTH("connection"),
    ['k' & 31] = LENGTH("keep-alive"),
    ['p' & 31] = LENGTH("proxy-authenticate") | LENGTH("proxy-connection") |
                 LENGTH("proxy-authorization") | LENGTH("proxy-authentication-info"),
    ['s' & 31] = LENGTH("set-cookie") | LENGTH("set-cookie2"),
    ['t' & 31] = LENGTH("te") | LENGTH("trailer") | LENGTH("transfer-encoding"),
    ['u' & 31] = LENGTH("upgrade"),
};

static int may_be_special(const char *name)
{
    unsigned length = lengths[*name & 31];

    return length && (length >> (strlen(name) & 31) & 1);
}

static int is_forbidden(const names_t *names, const char *name)
{
    return (may_be_special(name) && is_one_of(name, hop_fields, N(hop_fields))) ||
           (names->set &&
            apr_hash_get(names->set, devcache_field_lower(name, strlen(name), names->p),
                         APR_HASH_KEY_STRING));
}

/* Is it said anew, or the first visitor's own? */
static int is_dropped(const devcache_policy_conf_t *conf, const char *name)
{
    return is_one_of(name, age_field, 1) ||
           (!conf->store_set_cookie && is_one_of(name, cookie_fields, N(cookie_fields)));
}

apr_table_t *devcache_policy_stored_fields(const devcache_policy_conf_t *conf,
                                           const apr_table_t *headers, apr_pool_t *p)
{
    const apr_array_header_t *lines = apr_table_elts(headers);
    const apr_table_entry_t *e = (const apr_table_entry_t *)lines->elts;
    names_t names = forbidden(conf->targets, headers, p);
    apr_table_t *kept = apr_table_make(p, lines->nelts);
    int i;

    for (i = 0; i < lines->nelts; i++) {
        if (!(names.set || may_be_special(e[i].key)) ||
            (!is_forbidden(&names, e[i].key) && !is_dropped(conf, e[i].key))) {
            apr_table_addn(kept, e[i].key, e[i].val);
        }
    }
    return kept;
}

/* Is the update's ETag the stored one but for what a filter of ours made of it? Then the
 * stored one describes the stored body better. */
static int same_etag(const apr_table_t *stored, const apr_table_t *update)
{
    const char *ours = apr_table_get(stored, "ETag");
    return ours && apr_table_get(update, "ETag") &&
           devcache_policy_validates(update, stored);
}

void devcache_policy_update_fields(apr_table_t *stored, const apr_table_t *update,
                                   apr_pool_t *p)
{
    const apr_array_header_t *lines = apr_table_elts(update);
    const apr_table_entry_t *e = (const apr_table_entry_t *)lines->elts;
    names_t names = forbidden(NULL, update, p);
    apr_size_t n;
    int i;

    add_listed(&names, NULL, stored);
    for (n = 0; n < N(body_fields); n++) {
        add_name(&names, body_fields[n]);
    }
    if (same_etag(stored, update)) {
        add_name(&names, "etag");
    }
    add_name(&names, "clear-site-data"); /* for who has asked, as cookies are */
    /* A cookie may replace one that the administrator let be stored, not be the first. */
    for (n = 0; n < N(cookie_fields); n++) {
        if (!apr_table_get(stored, cookie_fields[n])) {
            add_name(&names, cookie_fields[n]);
        }
    }
    /* Date and Age tell when the update was made; old ones would age it at once. */
    apr_table_unset(stored, "Age");
    apr_table_unset(stored, "Date");
    for (i = 0; i < lines->nelts; i++) {
        if (!is_forbidden(&names, e[i].key)) {
            apr_table_unset(stored, e[i].key);
        }
    }
    for (i = 0; i < lines->nelts; i++) {
        if (!is_forbidden(&names, e[i].key)) {
            apr_table_addn(stored, e[i].key, e[i].val);
        }
    }
}
