/* SPDX-License-Identifier: Apache-2.0 */
#include "http/sf.h"

#include "base/utf8.h"
#include "http/field.h"

/*
 * The parsing algorithms of RFC 9651 section 4.2, one function each, over a cursor that
 * only moves forward. There is no nesting deeper than an inner list, so no recursion.
 */

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int is_lcalpha(char c)
{
    return c >= 'a' && c <= 'z';
}

static int is_alpha(char c)
{
    return is_lcalpha(c) || (c >= 'A' && c <= 'Z');
}

static void skip_sp(const char **c)
{
    while (**c == ' ') {
        (*c)++;
    }
}

static void skip_ows(const char **c)
{
    while (**c == ' ' || **c == '\t') {
        (*c)++;
    }
}

/* Section 4.2.3.3. */
static int parse_key(const char **c, devcache_slice_t *key)
{
    const char *begin = *c;

    if (!is_lcalpha(*begin) && *begin != '*') {
        return 0;
    }
    while (is_lcalpha(**c) || is_digit(**c) || (**c && strchr("_-.*", **c))) {
        (*c)++;
    }
    *key = devcache_slice(begin, (apr_size_t)(*c - begin));
    return 1;
}

/* Section 4.2.4: an Integer of up to 15 digits, or a Decimal of up to 12 and 3. */
static int parse_number(const char **c, devcache_sf_member_t *m)
{
    apr_int64_t sign = **c == '-' ? -1 : 1;
    int digits = 0;

    *c += sign < 0;
    for (m->integer = 0; is_digit(**c); (*c)++) {
        if (++digits > 15) {
            return 0;
        }
        m->integer = m->integer * 10 + (**c - '0');
    }
    m->integer *= sign;
    m->type = DEVCACHE_SF_INTEGER;
    if (digits == 0 || **c != '.') {
        return digits > 0;
    }
    if (digits > 12) {
        return 0;
    }
    m->type = DEVCACHE_SF_OTHER;
    for ((*c)++, digits = 0; is_digit(**c); (*c)++) {
        digits++;
    }
    return digits >= 1 && digits <= 3;
}

/* Section 4.2.5. */
static int parse_string(const char **c, devcache_sf_member_t *m)
{
    const char *begin = ++*c;

    for (; **c != '"'; (*c)++) {
        if (**c == '\\') {
            (*c)++;
            if (**c != '"' && **c != '\\') {
                return 0;
            }
        } else if (**c < 0x20 || **c >= 0x7f) {
            return 0; /* the end of the value is among these */
        }
    }
    m->string = devcache_slice(begin, (apr_size_t)(*c - begin));
    m->type = DEVCACHE_SF_STRING;
    (*c)++;
    return 1;
}

/* Section 4.2.6. */
static int parse_token(const char **c)
{
    while (devcache_field_tchar(**c) || **c == ':' || **c == '/') {
        (*c)++;
    }
    return 1;
}

/* Section 4.2.7; that the base64 decodes to something is not asked for. */
static int parse_bytes(const char **c)
{
    do {
        (*c)++;
    } while (is_alpha(**c) || is_digit(**c) || (**c && strchr("+/=", **c)));
    if (**c != ':') {
        return 0;
    }
    (*c)++;
    return 1;
}

/* Section 4.2.8. */
static int parse_boolean(const char **c, devcache_sf_member_t *m)
{
    char digit = (*c)[1];

    if (digit != '0' && digit != '1') {
        return 0;
    }
    *c += 2;
    m->type = digit == '1' ? DEVCACHE_SF_TRUE : DEVCACHE_SF_FALSE;
    return 1;
}

/* Section 4.2.9. */
static int parse_date(const char **c, devcache_sf_member_t *m)
{
    (*c)++;
    if (!parse_number(c, m) || m->type != DEVCACHE_SF_INTEGER) {
        return 0;
    }
    m->type = DEVCACHE_SF_OTHER;
    return 1;
}

static int lower_hex(char c)
{
    return is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Section 4.2.10: %"...", other than ASCII as %xx, together UTF-8. */
static int parse_display_string(const char **c)
{
    devcache_utf8_t text = {0};

    if (*++*c != '"') {
        return 0;
    }
    for (++*c; **c != '"'; ++*c) {
        unsigned byte = (unsigned char)**c;
        if (byte < 0x20 || byte >= 0x7f) {
            return 0;
        }
        if (byte == '%') {
            int first = lower_hex((*c)[1]);
            int second = first < 0 ? -1 : lower_hex((*c)[2]);
            if (second < 0) {
                return 0;
            }
            byte = (unsigned)(first * 16 + second);
            *c += 2;
        }
        if (!devcache_utf8_step(&text, (unsigned char)byte)) {
            return 0;
        }
    }
    ++*c;
    return text.more == 0;
}

/* Section 4.2.3.1. */
static int parse_bare_item(const char **c, devcache_sf_member_t *m)
{
    m->type = DEVCACHE_SF_OTHER;
    switch (**c) {
    case '"':
        return parse_string(c, m);
    case ':':
        return parse_bytes(c);
    case '?':
        return parse_boolean(c, m);
    case '@':
        return parse_date(c, m);
    case '%':
        return parse_display_string(c);
    default:
        if (**c == '-' || is_digit(**c)) {
            return parse_number(c, m);
        }
        return (**c == '*' || is_alpha(**c)) && parse_token(c);
    }
}

/* Section 4.2.3.2; what parameters say is of no use to a cache. */
static int parse_parameters(const char **c)
{
    while (**c == ';') {
        devcache_sf_member_t ignored;
        (*c)++;
        skip_sp(c);
        if (!parse_key(c, &ignored.key)) {
            return 0;
        }
        if (**c == '=') {
            (*c)++;
            if (!parse_bare_item(c, &ignored)) {
                return 0;
            }
        }
    }
    return 1;
}

/* Section 4.2.1.2, without the parameters of the list itself. */
static int parse_inner_list(const char **c)
{
    (*c)++;
    for (;;) {
        devcache_sf_member_t ignored;
        skip_sp(c);
        if (**c == ')') {
            (*c)++;
            return 1;
        }
        if (!parse_bare_item(c, &ignored) || !parse_parameters(c)) {
            return 0;
        }
        if (**c != ' ' && **c != ')') {
            return 0;
        }
    }
}

static int parse_item_or_list(const char **c, devcache_sf_member_t *m)
{
    if (**c == '(') {
        m->type = DEVCACHE_SF_INNER_LIST;
        m->items = *c + 1;
        return parse_inner_list(c);
    }
    return parse_bare_item(c, m);
}

static int parse_value(const char **c, devcache_sf_member_t *m)
{
    if (**c != '=') {
        m->type = DEVCACHE_SF_TRUE;
        return 1;
    }
    (*c)++;
    return parse_item_or_list(c, m);
}

/* The end of a member, and the comma before the next. */
static int parse_end(const char **cursor)
{
    if (!parse_parameters(cursor)) {
        return -1;
    }
    skip_ows(cursor);
    if (**cursor == ',') {
        (*cursor)++;
        skip_ows(cursor);
        return **cursor ? 1 : -1; /* no comma at the end */
    }
    return **cursor ? -1 : 1;
}

/* Section 4.2.2, one turn of its loop. */
int devcache_sf_next(const char **cursor, devcache_sf_member_t *m)
{
    skip_sp(cursor);
    if (!**cursor) {
        return 0;
    }
    return parse_key(cursor, &m->key) && parse_value(cursor, m) ? parse_end(cursor) : -1;
}

/* Section 4.2.1, likewise. */
int devcache_sf_member(const char **cursor, devcache_sf_member_t *m)
{
    m->key = devcache_slice(NULL, 0);
    skip_sp(cursor);
    if (!**cursor) {
        return 0;
    }
    return parse_item_or_list(cursor, m) ? parse_end(cursor) : -1;
}

int devcache_sf_item(const char **items, devcache_sf_member_t *m)
{
    m->key = devcache_slice(NULL, 0);
    skip_sp(items);
    return **items != ')' && parse_bare_item(items, m) && parse_parameters(items);
}

const char *devcache_sf_text(devcache_slice_t string, apr_pool_t *p)
{
    char *text = apr_palloc(p, string.len + 1), *out = text;
    apr_size_t i;

    for (i = 0; i < string.len; i++) {
        i += string.data[i] == '\\';
        *out++ = string.data[i];
    }
    *out = '\0';
    return text;
}

int devcache_sf_is_true(const apr_table_t *fields, const char *name)
{
    /* Nearly always absent, which the table knows sooner than a walk does. */
    const char *value = apr_table_get(fields, name) ? devcache_field_single(fields, name)
                                                    : NULL;
    devcache_sf_member_t m;

    return value && devcache_sf_member(&value, &m) == 1 && !*value &&
           m.type == DEVCACHE_SF_TRUE;
}
