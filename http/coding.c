/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Codings of bodies. What browsers send in Accept-Encoding differs from version to version,
 * and means the same to an origin that knows gzip. So the origin is asked for a few codings
 * in one spelling, and a body is given to all who accept its own.
 */
#include "http/coding.h"

#include <string.h>
#include <apr_strings.h>
#include "http/field.h"
#include "http/weights.h"

devcache_slice_t devcache_coding_alias(devcache_slice_t name)
{
    return devcache_field_is(name, "x-gzip") || devcache_field_is(name, "x-compress")
               ? devcache_slice(name.data + 2, name.len - 2)
               : name;
}

/* Does a list name, and not refuse, a coding? -1: it does not say. */
static int accepts_by_name(const char *value, devcache_slice_t coding)
{
    devcache_weighted_t item;
    const char *cursor = value;

    while (devcache_weights_next(&cursor, &item)) {
        devcache_slice_t name = devcache_coding_alias(item.name);
        if (name.len && name.len == coding.len &&
            !strncasecmp(name.data, coding.data, coding.len)) {
            return item.weight > 0;
        }
    }
    return -1;
}

int devcache_coding_accepted(const char *value, devcache_slice_t coding)
{
    int said = value ? accepts_by_name(value, coding) : -1;

    if (said < 0 && value) {
        said = accepts_by_name(value, devcache_slice_str("*"));
    }
    return said < 0 ? devcache_field_is(coding, "identity") : said;
}

/* Browsers send names with commas between them, and nothing else: no weights, no "*", no
 * old names, which begin with an "x". Then a coding is accepted if it is there, and so is
 * "identity". */
enum { OF_NAME, BETWEEN, END, NOT_PLAIN };

static const unsigned char kinds[256] = {
    ['\0'] = END,      [','] = BETWEEN,   [' '] = BETWEEN,   ['\t'] = BETWEEN,
    [';'] = NOT_PLAIN, ['*'] = NOT_PLAIN, ['"'] = NOT_PLAIN, ['x'] = NOT_PLAIN,
};

#define MEMBERS_MAX 16 /* of a plain list; browsers send four */

/* The members of a plain list; -1: it is none, or has more than there is room for. */
static int split(const char *value, devcache_slice_t *members)
{
    const char *at, *begin;
    int count = 0, kind;

    for (at = value;; at++) {
        begin = at;
        while ((kind = kinds[(unsigned char)*at]) == OF_NAME) {
            at++;
        }
        if (kind == NOT_PLAIN || (at > begin && count == MEMBERS_MAX)) {
            return -1;
        }
        if (at > begin) {
            members[count++] = devcache_slice(begin, (apr_size_t)(at - begin));
        }
        if (kind == END) {
            return count;
        }
    }
}

static int lists(const devcache_slice_t *members, int count, devcache_slice_t coding)
{
    int i;

    for (i = 0; i < count; i++) {
        if (coding.len && members[i].len == coding.len &&
            !((*members[i].data ^ *coding.data) & 31) &&
            !strncasecmp(members[i].data, coding.data, coding.len)) {
            return 1;
        }
    }
    return 0;
}

static const char *join(const devcache_slice_t *names, int count, apr_pool_t *p)
{
    apr_size_t bytes = 1;
    char *text, *at;
    int i;

    for (i = 0; i < count; i++) {
        bytes += names[i].len + 2;
    }
    text = at = apr_palloc(p, bytes);
    for (i = 0; i < count; i++) {
        if (i) {
            *at++ = ',';
            *at++ = ' ';
        }
        if (names[i].data) {
            memcpy(at, names[i].data, names[i].len);
            at += names[i].len;
        }
    }
    *at = '\0';
    return text;
}

const char *devcache_coding_reduced(const apr_array_header_t *known, const char *value,
                                    apr_pool_t *p)
{
    devcache_slice_t members[MEMBERS_MAX], kept[MEMBERS_MAX];
    int plain, count = 0, i;
    const char *text;

    if (!known || !value) {
        return value;
    }
    plain = split(value, members);
    if (plain < 0 && !devcache_coding_accepted(value, devcache_slice_str("identity"))) {
        return value;
    }
    for (i = 0; i < known->nelts && count < MEMBERS_MAX; i++) {
        devcache_slice_t name = devcache_slice_str(APR_ARRAY_IDX(known, i, const char *));
        if (plain >= 0 ? lists(members, plain, name)
                       : devcache_coding_accepted(value, name)) {
            kept[count++] = name;
        }
    }
    if (!count) {
        return NULL;
    }
    text = join(kept, count, p);
    return strcmp(text, value) ? text : value;
}

static const char *const dictionary_codings[] = {"dcb", "dcz"};

int devcache_coding_needs_dictionary(devcache_slice_t coding)
{
    return devcache_field_is(coding, dictionary_codings[0]) ||
           devcache_field_is(coding, dictionary_codings[1]);
}

const char *devcache_coding_sent(const apr_array_header_t *known,
                                 const apr_table_t *request, apr_pool_t *p)
{
    const char *value = devcache_field_combined(request, "Accept-Encoding", p);
    const char *kept = devcache_coding_reduced(known, value, p);
    int i;

    if (!value || kept == value || !apr_table_get(request, "Available-Dictionary")) {
        return kept;
    }
    for (i = 1; i >= 0; i--) {
        devcache_slice_t name = devcache_slice_str(dictionary_codings[i]);

        if (devcache_coding_accepted(value, name) &&
            !(kept && devcache_coding_accepted(kept, name))) {
            kept = kept ? apr_pstrcat(p, name.data, ", ", kept, NULL) : name.data;
        }
    }
    return kept;
}
