#include "devcache_directive.h"

#include <stddef.h>

#include <apr_strings.h>

#include "devcache_field.h"
#include "devcache_sf.h"

/*
 * One table says what directives there are; two front ends read it.
 *
 * Cache-Control is read as caches in the field read it: name, perhaps '=', an argument
 * as a token or as a quoted string, in any case (RFC 9111 section 5.2). What does not
 * fit is read in the way that caches less: a number that is none is 0, a list that is
 * none is no list, so that the directive covers the whole response. Two different values
 * for one number count as stale, which RFC 9111 section 4.2.1 offers beside "the first
 * one": whoever sent both cannot be held to either. And a member that is no directive at
 * all, as in "max-age=60; private", is reported: nobody can tell what else it was to say.
 *
 * A targeted field is a dictionary of structured fields (RFC 9213 section 2.1), where
 * one fault voids all of it and the last of equal keys wins.
 */

typedef enum {
    FLAG,
    GRANT,        /* allows something: not believed if it comes with an argument */
    FLAG_OR_LIST, /* with an argument only the fields listed are meant */
    DELTA,
    DELTA_OR_ANY /* without an argument: any number of seconds */
} kind_e;

typedef struct {
    const char *name;
    kind_e kind;
    apr_size_t offset; /* of its int or apr_int64_t */
} known_t;

#define IN(field) offsetof(devcache_directives_t, field)

static const known_t known[] = {
    {"no-store", FLAG, IN(no_store)},
    {"no-cache", FLAG_OR_LIST, IN(no_cache)},
    {"private", FLAG_OR_LIST, IN(is_private)},
    {"public", GRANT, IN(is_public)},
    {"must-revalidate", FLAG, IN(must_revalidate)},
    {"proxy-revalidate", FLAG, IN(proxy_revalidate)},
    {"must-understand", GRANT, IN(must_understand)},
    {"immutable", GRANT, IN(immutable)},
    {"no-transform", FLAG, IN(no_transform)},
    {"only-if-cached", FLAG, IN(only_if_cached)},
    {"max-age", DELTA, IN(max_age)},
    {"s-maxage", DELTA, IN(s_maxage)},
    {"stale-while-revalidate", DELTA, IN(stale_while_revalidate)},
    {"stale-if-error", DELTA, IN(stale_if_error)},
    {"min-fresh", DELTA, IN(min_fresh)},
    {"max-stale", DELTA_OR_ANY, IN(max_stale)},
};

static const known_t *find(devcache_slice_t name)
{
    apr_size_t i;

    char first = name.len ? devcache_field_lower_char(*name.data) : '\0';

    for (i = 0; i < sizeof(known) / sizeof(*known); i++) {
        if (known[i].name[0] == first && devcache_field_is(name, known[i].name)) {
            return &known[i];
        }
    }
    return NULL;
}

static int *flag(devcache_directives_t *out, const known_t *k)
{
    return (int *)(void *)((char *)out + k->offset);
}

static apr_int64_t *delta(devcache_directives_t *out, const known_t *k)
{
    return (apr_int64_t *)(void *)((char *)out + k->offset);
}

static const devcache_directives_t nothing_said = {
    .max_age = -1,
    .s_maxage = -1,
    .stale_while_revalidate = -1,
    .stale_if_error = -1,
    .min_fresh = -1,
    .max_stale = -1,
};

/* Keep a list of field names; 0 if it is not one, or if there is nowhere to keep it. */
static int keep_list(devcache_directives_t *out, devcache_slice_t text, apr_pool_t *p)
{
    const char *list, *cursor;
    devcache_slice_t name;
    int names = 0;

    if (!p || !text.len) {
        return 0;
    }
    cursor = list = apr_pstrmemdup(p, text.data, text.len);
    for (; devcache_field_next(&cursor, &name); names++) {
        if (!devcache_field_is_token(name)) {
            return 0;
        }
    }
    if (!names) {
        return 0;
    }
    if (!out->listed) {
        out->listed = apr_array_make(p, 2, sizeof(const char *));
    }
    APR_ARRAY_PUSH(out->listed, const char *) = list;
    return 1;
}

/* --- Cache-Control --------------------------------------------------------------- */

typedef struct {
    devcache_slice_t name;
    devcache_slice_t text; /* of the argument, without quotes */
    int has_argument;
    int escaped; /* the text has escapes in it: no directive needs one in its argument */
} directive_t;

/* A quoted string (RFC 9110 section 5.6.4) and nothing after it. */
static int split_quoted(devcache_slice_t s, directive_t *d)
{
    apr_size_t i;

    for (i = 1; i < s.len && s.data[i] != '"'; i++) {
        if (s.data[i] == '\\') {
            d->escaped = 1;
            i++;
        }
    }
    if (i + 1 != s.len) {
        return 0;
    }
    d->text = devcache_slice(s.data + 1, s.len - 2);
    return 1;
}

/* A member of the list as a directive; 0 if it is none. No white space around '='
 * (RFC 9111 section 5.2). */
static int split(devcache_slice_t member, directive_t *d)
{
    devcache_slice_t rest;
    apr_size_t len = 0;

    memset(d, 0, sizeof(*d));
    while (len < member.len && devcache_field_tchar(member.data[len])) {
        len++;
    }
    d->name = devcache_slice(member.data, len);
    if (len == 0 || len == member.len) {
        return len > 0;
    }
    d->has_argument = 1;
    if (member.data[len] != '=') {
        return 0;
    }
    rest = devcache_slice(member.data + len + 1, member.len - len - 1);
    if (rest.len && rest.data[0] == '"') {
        return split_quoted(rest, d);
    }
    d->text = rest;
    return devcache_field_is_token(rest);
}

static void take_delta(devcache_directives_t *out, const known_t *k, const directive_t *d)
{
    apr_int64_t *value = delta(out, k);
    apr_int64_t v = d->escaped ? -1 : devcache_field_delta(d->text);

    if (k->kind == DELTA_OR_ANY && !d->has_argument) {
        v = DEVCACHE_FIELD_DELTA_MAX;
    }
    if (v < 0) {
        v = 0; /* RFC 9111 section 4.2.1: invalid freshness is best taken as stale */
    }
    *value = *value < 0 || *value == v ? v : 0;
}

static void take(devcache_directives_t *out, devcache_slice_t member, apr_pool_t *p)
{
    directive_t d;
    const known_t *k;

    if (!split(member, &d)) {
        out->malformed = 1;
    }
    k = find(d.name);
    if (!k) {
        return; /* RFC 9111 section 5.2.3 */
    }
    switch (k->kind) {
    case FLAG:
        *flag(out, k) = 1;
        break;
    case GRANT:
        *flag(out, k) |= !d.has_argument;
        break;
    case FLAG_OR_LIST:
        if (!d.has_argument || d.escaped || !keep_list(out, d.text, p)) {
            *flag(out, k) = 1;
        }
        break;
    case DELTA:
    case DELTA_OR_ANY:
        take_delta(out, k, &d);
        break;
    }
}

void devcache_directive_cache_control(const apr_table_t *headers,
                                      devcache_directives_t *out, apr_pool_t *p)
{
    devcache_slice_t member;
    const char *line;
    int index = 0;

    *out = nothing_said;
    while ((line = devcache_field_line(headers, "Cache-Control", &index)) != NULL) {
        while (devcache_field_next(&line, &member)) {
            take(out, member, p);
        }
    }
}

/* --- targeted fields -------------------------------------------------------------- */

/* 0 if the type is not the directive's. */
static int take_typed(devcache_directives_t *out, const known_t *k,
                      const devcache_sf_member_t *m, apr_pool_t *p)
{
    apr_int64_t v = m->integer;

    if (k->kind == DELTA || k->kind == DELTA_OR_ANY) {
        if (m->type != DEVCACHE_SF_INTEGER) {
            return 0;
        }
        v = v > 0 ? v : 0;
        *delta(out, k) = v < DEVCACHE_FIELD_DELTA_MAX ? v : DEVCACHE_FIELD_DELTA_MAX;
        return 1;
    }
    if (m->type == DEVCACHE_SF_TRUE) {
        *flag(out, k) = 1;
        return 1;
    }
    return k->kind == FLAG_OR_LIST && m->type == DEVCACHE_SF_STRING &&
           keep_list(out, m->string, p);
}

/* RFC 9213 section 2.1: 0 if the field is absent, empty or malformed, as it is ignored
 * then. A wrong type makes it malformed, as whoever sent it meant something else. */
static int read_targeted(const apr_table_t *headers, const char *name,
                         devcache_directives_t *out, apr_pool_t *p)
{
    const char *cursor = devcache_field_combined(headers, name, p);
    devcache_sf_member_t m = {{NULL}};
    int members = 0, more = 0;

    *out = nothing_said;
    for (; cursor && (more = devcache_sf_next(&cursor, &m)) > 0; members++) {
        const known_t *k = find(m.key);
        if (k && !take_typed(out, k, &m, p)) {
            return 0;
        }
    }
    return more == 0 && members > 0;
}

int devcache_directive_response(const apr_array_header_t *targets,
                                const apr_table_t *headers, devcache_directives_t *out,
                                apr_pool_t *p)
{
    int i;

    for (i = 0; targets && i < targets->nelts; i++) {
        if (read_targeted(headers, APR_ARRAY_IDX(targets, i, const char *), out, p)) {
            return 1;
        }
    }
    devcache_directive_cache_control(headers, out, p);
    return 0;
}
