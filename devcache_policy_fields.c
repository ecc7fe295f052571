#include "devcache_policy.h"

#include <apr_hash.h>

#include "devcache_directive.h"
#include "devcache_field.h"

/*
 * Which fields are kept, and how a 304 renews them (RFC 9111 sections 3.1 and 3.2).
 *
 * Both work from one set of forbidden names: those of a connection or a proxy hop, those
 * that Connection names, those that the origin listed in no-cache="..." or private="...".
 * Stripping listed fields is the plain way to honour such a list: what is not kept needs
 * no validation and reaches nobody else.
 *
 * The lists are the sender's and may have tens of thousands of members, hence a hash and
 * not a search per line.
 */

/* RFC 9111 section 3.1 and RFC 9110 section 7.6.1. Age is said anew at each use; Trailer
 * announces what is not kept. */
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

#define N(array) (sizeof(array) / sizeof(*(array)))

static void add_names(apr_hash_t *set, const char *const *names, apr_size_t n)
{
    apr_size_t i;

    for (i = 0; i < n; i++) {
        apr_hash_set(set, names[i], APR_HASH_KEY_STRING, names[i]);
    }
}

static void add_list(apr_hash_t *set, const char *list, apr_pool_t *p)
{
    devcache_slice_t name;

    while (devcache_field_next(&list, &name)) {
        const char *key = devcache_field_lower(name.data, name.len, p);
        apr_hash_set(set, key, APR_HASH_KEY_STRING, key);
    }
}

static void add_listed(apr_hash_t *set, const apr_array_header_t *targets,
                       const apr_table_t *headers, apr_pool_t *p)
{
    devcache_directives_t said;
    int i;

    devcache_directive_response(targets, headers, &said, p);
    for (i = 0; said.listed && i < said.listed->nelts; i++) {
        add_list(set, APR_ARRAY_IDX(said.listed, i, const char *), p);
    }
}

/* The names of which no line of @a headers may be kept. */
static apr_hash_t *forbidden(const apr_array_header_t *targets,
                             const apr_table_t *headers, apr_pool_t *p)
{
    apr_hash_t *set = apr_hash_make(p);
    const char *line;
    int index = 0;
    apr_size_t i;

    while ((line = devcache_field_line(headers, "Connection", &index)) != NULL) {
        add_list(set, line, p);
    }
    add_listed(set, targets, headers, p);
    for (i = 0; i < N(essential_fields); i++) {
        apr_hash_set(set, essential_fields[i], APR_HASH_KEY_STRING, NULL);
    }
    add_names(set, hop_fields, N(hop_fields));
    return set;
}

static int is_in(apr_hash_t *set, const char *name, apr_pool_t *p)
{
    return apr_hash_get(set, devcache_field_lower(name, strlen(name), p),
                        APR_HASH_KEY_STRING) != NULL;
}

apr_table_t *devcache_policy_stored_fields(const devcache_policy_conf_t *conf,
                                           const apr_table_t *headers, apr_pool_t *p)
{
    const apr_array_header_t *lines = apr_table_elts(headers);
    const apr_table_entry_t *e = (const apr_table_entry_t *)lines->elts;
    apr_hash_t *set = forbidden(conf->targets, headers, p);
    apr_table_t *kept = apr_table_make(p, lines->nelts);
    int i;

    apr_hash_set(set, "age", APR_HASH_KEY_STRING, "age");
    if (!conf->store_set_cookie) {
        apr_hash_set(set, "set-cookie", APR_HASH_KEY_STRING, "set-cookie");
        apr_hash_set(set, "set-cookie2", APR_HASH_KEY_STRING, "set-cookie2");
    }
    for (i = 0; i < lines->nelts; i++) {
        if (!is_in(set, e[i].key, p)) {
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
    apr_hash_t *set = forbidden(NULL, update, p);
    int i;

    add_listed(set, NULL, stored, p);
    add_names(set, body_fields, N(body_fields));
    if (same_etag(stored, update)) {
        apr_hash_set(set, "etag", APR_HASH_KEY_STRING, "etag");
    }
    /* A cookie may replace one that the administrator let be stored, not be the first. */
    if (!apr_table_get(stored, "Set-Cookie")) {
        apr_hash_set(set, "set-cookie", APR_HASH_KEY_STRING, "set-cookie");
    }
    if (!apr_table_get(stored, "Set-Cookie2")) {
        apr_hash_set(set, "set-cookie2", APR_HASH_KEY_STRING, "set-cookie2");
    }
    /* Date and Age tell when the update was made; old ones would age it at once. */
    apr_table_unset(stored, "Age");
    apr_table_unset(stored, "Date");
    for (i = 0; i < lines->nelts; i++) {
        if (!is_in(set, e[i].key, p)) {
            apr_table_unset(stored, e[i].key);
        }
    }
    for (i = 0; i < lines->nelts; i++) {
        if (!is_in(set, e[i].key, p)) {
            apr_table_addn(stored, e[i].key, e[i].val);
        }
    }
}
