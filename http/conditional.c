/* SPDX-License-Identifier: Apache-2.0 */
#include "http/policy.h"

#include <apr_strings.h>

#include "http/field.h"

/*
 * Conditional requests: those that clients send us and those that we send to the origin
 * (RFC 9110 section 13, RFC 9111 section 4.3).
 *
 * Entity tags come in the strict grammar or not at all: a stored ETag that is none is no
 * validator, as '*' or a list in its place would have the origin confirm anything.
 *
 * A filter that codes or decodes bodies between the origin and the cache makes "abc-gzip"
 * of "abc", and "abc-gzip-gunzip-gzip" where there are more of them. The client gets and
 * sends the last form; the origin knows an earlier one. So the origin is asked with all of
 * them, and its answer may be any. A client may have any as well, from before the filter
 * was there, or because mod_headers shows another one than the stored: without the cache
 * the origin, or a rule in front of it, would know that.
 */

static const char *const filter_suffixes[] = {"-gzip",   "-br",   "-deflate",
                                              "-gunzip", "-zstd", "-inflate"};

/* A tag's opaque part, without the closing quote. */
static devcache_slice_t open_tag(const devcache_etag_t *etag)
{
    return devcache_slice(etag->opaque.data, etag->opaque.len - 1);
}

/* Take one filter's suffix from such a part; 0: it has none. */
static int take_suffix(devcache_slice_t *tag)
{
    apr_size_t i;

    for (i = 0; i < sizeof(filter_suffixes) / sizeof(*filter_suffixes); i++) {
        apr_size_t len = strlen(filter_suffixes[i]);
        if (tag->len > len &&
            memcmp(tag->data + tag->len - len, filter_suffixes[i], len) == 0) {
            tag->len -= len;
            return 1;
        }
    }
    return 0;
}

/* Is theirs what ours was before some filters, or the same? Weakness does not count:
 * servers weaken the tag of a file that has just changed. */
static int is_earlier_form(const devcache_etag_t *theirs, const devcache_etag_t *ours)
{
    devcache_slice_t form = open_tag(ours);

    do {
        if (devcache_slice_eq(open_tag(theirs), form)) {
            return 1;
        }
    } while (take_suffix(&form));
    return 0;
}

static int get_etag(const apr_table_t *headers, devcache_etag_t *out)
{
    return devcache_field_etag(devcache_field_single(headers, "ETag"), out);
}

/* --- a client's conditions --------------------------------------------------------- */

/* RFC 9110 section 8.8.3.2. */
static int tags_match(const devcache_etag_t *a, const devcache_etag_t *b, int strong)
{
    return !(strong && (a->weak || b->weak)) && devcache_slice_eq(a->opaque, b->opaque);
}

/* Does If-Match or If-None-Match name the stored response? For a weak comparison an
 * earlier form of its tag, and the one that clients are shown, does as well. */
static int names_stored(const apr_table_t *request, const char *name,
                        const apr_table_t *stored, const char *shown, int strong)
{
    devcache_etag_t ours, other, theirs;
    int has_tag = get_etag(stored, &ours), is_shown = devcache_field_etag(shown, &other);
    const char *line;
    int index = 0;

    while ((line = devcache_field_line(request, name, &index)) != NULL) {
        if (devcache_field_is(devcache_field_trim(devcache_slice_str(line)), "*")) {
            return 1;
        }
        while ((has_tag || is_shown) && devcache_field_next_etag(&line, &theirs)) {
            if ((has_tag && (strong ? tags_match(&ours, &theirs, 1)
                                    : is_earlier_form(&theirs, &ours))) ||
                (is_shown && tags_match(&other, &theirs, strong))) {
                return 1;
            }
        }
    }
    return 0;
}

/* The instant in a field of either message. Two-digit years are read as of the stored
 * Date: without one they lie long ago, so that such a condition gets the whole answer. */
static int get_date(const apr_table_t *headers, const char *name,
                    const apr_table_t *stored, apr_time_t *out)
{
    const char *value = devcache_field_single(headers, name);
    const char *date = devcache_field_single(stored, "Date");
    apr_time_t near = 0;

    if (date) {
        devcache_field_date(date, 0, &near);
    }
    return value && devcache_field_date(value, near, out);
}

/* RFC 9110 section 13.1.4; without a Last-Modified there is nothing to judge. */
static int was_modified_after(const apr_table_t *request, const apr_table_t *stored)
{
    apr_time_t since, modified;

    return get_date(request, "If-Unmodified-Since", stored, &since) &&
           get_date(stored, "Last-Modified", stored, &modified) && modified > since;
}

/* RFC 9110 section 13.1.3; without a Last-Modified the response's Date stands for it
 * (RFC 9111 section 4.3.2). */
static int is_not_modified_since(const apr_table_t *request, const apr_table_t *stored)
{
    const char *name = apr_table_get(stored, "Last-Modified") ? "Last-Modified" : "Date";
    apr_time_t since, modified;

    return get_date(request, "If-Modified-Since", stored, &since) &&
           get_date(stored, name, stored, &modified) && modified <= since;
}

int devcache_policy_precondition(const apr_table_t *request, const apr_table_t *stored,
                                 const char *shown, int status)
{
    if (status < 200 || status > 299) {
        return 0; /* RFC 9110 section 13.2.1 */
    }
    /* The order of RFC 9110 section 13.2.2. */
    if (apr_table_get(request, "If-Match")) {
        if (!names_stored(request, "If-Match", stored, shown, 1)) {
            return 412;
        }
    } else if (was_modified_after(request, stored)) {
        return 412;
    }
    if (apr_table_get(request, "If-None-Match")) {
        return names_stored(request, "If-None-Match", stored, shown, 0) ? 304 : 0;
    }
    return is_not_modified_since(request, stored) ? 304 : 0;
}

#define FORMS_MAX 4 /* more filters than that are not in any chain */

/* --- our conditions ----------------------------------------------------------------- */

void devcache_policy_clear_conditionals(apr_table_t *request)
{
    apr_table_unset(request, "If-None-Match");
    apr_table_unset(request, "If-Modified-Since");
    apr_table_unset(request, "If-Match");
    apr_table_unset(request, "If-Unmodified-Since");
    apr_table_unset(request, "If-Range");
    apr_table_unset(request, "A-IM"); /* RFC 3229: what has changed since a copy */
}

/* The stored tag, and what it was before each filter: one of them is the origin's own. */
static const char *if_none_match(const apr_table_t *stored, const devcache_etag_t *etag,
                                 apr_pool_t *p)
{
    const char *value = apr_table_get(stored, "ETag");
    devcache_slice_t form = open_tag(etag);
    int forms;

    for (forms = 0; forms < FORMS_MAX && take_suffix(&form); forms++) {
        value = apr_pstrcat(p, value, ", ", etag->weak ? "W/" : "",
                            apr_pstrmemdup(p, form.data, form.len), "\"", NULL);
    }
    return value;
}

int devcache_policy_set_validators(apr_table_t *request, const apr_table_t *stored,
                                   apr_pool_t *p)
{
    devcache_etag_t etag;
    apr_time_t modified;
    int set = 0;

    devcache_policy_clear_conditionals(request);
    /* RFC 9111 section 4.3.1: both, where there are both. */
    if (get_etag(stored, &etag)) {
        apr_table_setn(request, "If-None-Match", if_none_match(stored, &etag, p));
        set = 1;
    }
    if (get_date(stored, "Last-Modified", stored, &modified)) {
        apr_table_setn(request, "If-Modified-Since",
                       apr_table_get(stored, "Last-Modified"));
        set = 1;
    }
    return set;
}

/* Do both sides have the same Last-Modified? 1 yes, 0 no, -1 one has none. */
static int same_modified(const apr_table_t *a, const apr_table_t *b)
{
    apr_time_t in_a, in_b;

    if (!get_date(a, "Last-Modified", a, &in_a) ||
        !get_date(b, "Last-Modified", b, &in_b)) {
        return -1;
    }
    return in_a == in_b;
}

/* RFC 9111 section 4.3.4, for the one response that we asked about. */
int devcache_policy_validates(const apr_table_t *fields304, const apr_table_t *stored)
{
    devcache_etag_t theirs, ours;
    int has_theirs = get_etag(fields304, &theirs);
    int modified = same_modified(fields304, stored);

    if (has_theirs && get_etag(stored, &ours)) {
        return is_earlier_form(&theirs, &ours);
    }
    if (has_theirs) {
        return modified == 1;
    }
    return modified != 0;
}
