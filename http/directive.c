/* SPDX-License-Identifier: Apache-2.0 */
#include "http/directive.h"

#include <stddef.h>

#include <apr_strings.h>

#include "http/field.h"
#include "http/sf.h"

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
 *
 * Older than that RFC, and read by their own grammar where DevCacheTargets names them:
 * Surrogate-Control (the W3C's Edge Architecture Specification 1.0: directives as in
 * Cache-Control, "max-age=60+30" for 30 seconds more while it is fetched anew, and
 * parameters that name the surrogate meant), and nginx's X-Accel-Expires (seconds, or "@"
 * and an instant).
 *
 * Where they are not named they say nothing about how long, but a "no" in them is one: an
 * origin that tells any cache in front of it to keep nothing does not know of us.
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
    .expires_at = -1,
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

/* --- older fields of that kind ---------------------------------------------------- */

/* A member of Surrogate-Control without its parameters. Those that name one surrogate
 * (";Name") are for that one: 0. */
static int without_parameters(devcache_slice_t *member)
{
    const char *semicolon = memchr(member->data, ';', member->len);
    devcache_slice_t rest;

    if (!semicolon) {
        return 1;
    }
    rest = devcache_slice(semicolon + 1,
                          (apr_size_t)(member->data + member->len - semicolon - 1));
    *member = devcache_field_trim(
        devcache_slice(member->data, (apr_size_t)(semicolon - member->data)));
    return devcache_field_trim(rest).len == 0;
}

/* "max-age=60+30": 1 if it was one. */
static int take_extended(devcache_directives_t *out, devcache_slice_t member)
{
    static const char name[] = "max-age=";
    apr_size_t len = sizeof(name) - 1;
    const char *plus = memchr(member.data, '+', member.len);
    apr_int64_t more;

    if (!plus || member.len < len || strncasecmp(member.data, name, len) != 0) {
        return 0;
    }
    out->max_age = devcache_field_delta(
        devcache_slice(member.data + len, (apr_size_t)(plus - member.data) - len));
    more = devcache_field_delta(
        devcache_slice(plus + 1, (apr_size_t)(member.data + member.len - plus - 1)));
    out->max_age = out->max_age < 0 ? 0 : out->max_age;
    out->stale_while_revalidate = more < 0 ? 0 : more;
    return 1;
}

/* Is it one that we know, whatever its argument? Others say nothing to us, as content= */
static int find_directive(devcache_slice_t member)
{
    apr_size_t len = 0;

    while (len < member.len && devcache_field_tchar(member.data[len])) {
        len++;
    }
    return find(devcache_slice(member.data, len)) != NULL;
}

static int read_surrogate(const apr_table_t *headers, const char *name,
                          devcache_directives_t *out, apr_pool_t *p)
{
    devcache_slice_t member;
    const char *line;
    int index = 0, members = 0;

    *out = nothing_said;
    while ((line = devcache_field_line(headers, name, &index)) != NULL) {
        while (devcache_field_next(&line, &member)) {
            if (without_parameters(&member) && find_directive(member)) {
                members++;
                if (!take_extended(out, member)) {
                    take(out, member, p);
                }
            }
        }
    }
    return members > 0;
}

/* 0 if it says nothing: it is no number. */
static int read_accel(const apr_table_t *headers, const char *name,
                      devcache_directives_t *out)
{
    const char *value = devcache_field_single(headers, name);
    devcache_slice_t text = devcache_field_trim(devcache_slice_str(value));
    int is_instant = text.len && *text.data == '@';
    apr_int64_t n;

    *out = nothing_said;
    if (is_instant) {
        text = devcache_slice(text.data + 1, text.len - 1);
        n = devcache_field_delta(text);
        out->expires_at = n;
    } else {
        n = devcache_field_delta(text);
        out->max_age = n;
        out->no_store = n == 0; /* nginx: not to be cached at all */
    }
    return n >= 0;
}

static int is_field(const char *name, const char *other)
{
    return !((name[0] ^ other[0]) & 31) && strcasecmp(name, other) == 0;
}

static int read_target(const apr_table_t *headers, const char *name,
                       devcache_directives_t *out, apr_pool_t *p)
{
    return is_field(name, "Surrogate-Control") ? read_surrogate(headers, name, out, p)
           : is_field(name, "X-Accel-Expires") ? read_accel(headers, name, out)
                                               : read_targeted(headers, name, out, p);
}

int devcache_directive_response(const apr_array_header_t *targets,
                                const apr_table_t *headers, devcache_directives_t *out,
                                apr_pool_t *p)
{
    int i;

    for (i = 0; targets && i < targets->nelts; i++) {
        if (read_target(headers, APR_ARRAY_IDX(targets, i, const char *), out, p)) {
            return 1;
        }
    }
    devcache_directive_cache_control(headers, out, p);
    return 0;
}

/* --- a "no" in any of them -------------------------------------------------------- */

static int ends_with(const char *name, const char *end)
{
    apr_size_t len = strlen(name), end_len = strlen(end);

    return len > end_len && !((name[len - 1] ^ end[end_len - 1]) & 31) &&
           strcasecmp(name + len - end_len, end) == 0;
}

/* Directives of any grammar, far enough for a "no". */
static int list_forbids(const char *line)
{
    static const char *const noes[] = {"no-store", "no-cache", "private", "bypass-cache"};
    static const char *const times[] = {"max-age", "s-maxage", "cache-maxage"};
    devcache_slice_t member;
    directive_t d;
    apr_size_t i;

    while (devcache_field_next(&line, &member)) {
        without_parameters(&member);
        if (!split(member, &d)) {
            continue;
        }
        for (i = 0; !d.has_argument && i < sizeof(noes) / sizeof(*noes); i++) {
            if (devcache_field_is(d.name, noes[i])) {
                return 1;
            }
        }
        for (i = 0; d.has_argument && i < sizeof(times) / sizeof(*times); i++) {
            if (devcache_field_is(d.name, times[i]) &&
                devcache_field_delta(d.text) == 0) {
                return 1;
            }
        }
    }
    return 0;
}

/* A number of seconds, or "@" and an instant. */
static int time_forbids(const char *value, apr_time_t now)
{
    devcache_slice_t text = devcache_field_trim(devcache_slice_str(value));

    if (text.len && *text.data == '@') {
        apr_int64_t at = devcache_field_delta(
            devcache_slice(text.data + 1, text.len - 1));
        return at >= 0 && at <= apr_time_sec(now);
    }
    return devcache_field_delta(text) == 0 || (text.len && *text.data == '-');
}

static int is_target(const apr_array_header_t *targets, const char *name)
{
    int i;

    for (i = 0; targets && i < targets->nelts; i++) {
        if (is_field(APR_ARRAY_IDX(targets, i, const char *), name)) {
            return 1;
        }
    }
    return 0;
}

/* How it speaks to caches in front of the origin. */
typedef enum targeted_e { TARGETED_NOT, TARGETED_LIST, TARGETED_TIME } targeted_e;

static targeted_e targeted_by(const char *name)
{
    return ends_with(name, "-Cache-Control") || is_field(name, "Surrogate-Control") ||
                   is_field(name, "Edge-Control") || is_field(name, "CF-Edge-Cache") ||
                   is_field(name, "Dispatcher")
               ? TARGETED_LIST
           : is_field(name, "X-Accel-Expires") || is_field(name, "X-Reverse-Proxy-TTL")
               ? TARGETED_TIME
               : TARGETED_NOT;
}

int devcache_directive_is_targeted(const char *name)
{
    return targeted_by(name) != TARGETED_NOT;
}

const char *devcache_directive_forbidden_by(const apr_array_header_t *targets,
                                            const apr_table_t *headers, apr_time_t now)
{
    const apr_array_header_t *lines = apr_table_elts(headers);
    int i;

    for (i = 0; i < lines->nelts; i++) {
        const apr_table_entry_t *e = &APR_ARRAY_IDX(lines, i, apr_table_entry_t);
        targeted_e by = targeted_by(e->key);
        int forbids = by == TARGETED_LIST   ? list_forbids(e->val)
                      : by == TARGETED_TIME ? time_forbids(e->val, now)
                                            : 0;

        if (forbids && !is_target(targets, e->key)) {
            return e->key;
        }
    }
    return NULL;
}
