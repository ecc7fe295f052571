/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns.
 *
 * Purgers write the same page in several spellings: /caf%C3%A9/ in one, the bytes
 * themselves in another, and a regular expression over either. What a ban is compared with
 * has one spelling, the decoded one, so that "%C3%A9", "%c3%a9" and the two bytes are the
 * same on both sides. Decoding must not make syntax out of what was none:
 *
 *     X-Url: ^/a%2Bb$       matches /a+b: the plus is a character of the URL
 *     PURGE /wiki/%2A       is the page with an asterisk for a name, not all that begins so
 *     PURGE /n.*%5C.html    is the expression /n.*\.html: no client can write a
 *                           backslash into a URL in any other way
 *
 * A pattern that is a literal and ".*" becomes a prefix, and one that is a literal between
 * ^ and $ an equality: both cost far less to look for.
 */
#include "purge/pattern.h"

#include <apr_strings.h>

static const char meta[] = "\\^$.[]|()?*+{}";
static const char never_plain[] =
    "\\^|[]{}<>\"` "; /* RFC 3986: not in a URL but encoded */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* The byte that "%XX" stands for; -1 if there is none at @a s. */
static int encoded_at(const char *s)
{
    return s[0] == '%' && hex_digit(s[1]) >= 0 && hex_digit(s[2]) >= 0
               ? hex_digit(s[1]) * 16 + hex_digit(s[2])
               : -1;
}

const char *devcache_pattern_decode(const char *text, apr_pool_t *p)
{
    char *out = apr_palloc(p, strlen(text) + 1), *at = out;

    while (*text) {
        int c = encoded_at(text);

        *at++ = c > 0 ? (char)c : *text;
        text += c > 0 ? 3 : 1;
    }
    *at = '\0';
    return out;
}

/* ---- regular expressions ------------------------------------------------------- */

/* One character as a regular expression that matches just it. */
static char *put_literal(char *at, int c)
{
    if (c == '\0') {
        *at++ = '\\';
        *at++ = 'x';
        *at++ = '0';
        *at++ = '0';
        return at;
    }
    if (strchr(meta, c)) {
        *at++ = '\\';
    }
    *at++ = (char)c;
    return at;
}

static const char *decoded_regex(const char *regex, devcache_pattern_from_e from,
                                 apr_pool_t *p)
{
    char *out = apr_palloc(p, strlen(regex) * 2 + 1), *at = out;

    while (*regex) {
        int c = encoded_at(regex);

        if (c > 0 && from == DEVCACHE_PATTERN_URL && strchr(never_plain, c)) {
            *at++ = (char)c;
        } else if (c >= 0) {
            at = put_literal(at, c);
        } else {
            *at++ = *regex;
        }
        regex += c >= 0 ? 3 : 1;
    }
    *at = '\0';
    return out;
}

/* The literal that an expression begins with, escapes undone; *prest: what follows it. */
static const char *literal_of(const char *regex, const char **prest, apr_pool_t *p)
{
    char *out = apr_palloc(p, strlen(regex) + 1), *at = out;

    while (*regex) {
        /* preg_quote() escapes what needs none, too. */
        if (*regex == '\\' && regex[1] &&
            (strchr("/-_%&=:;,@!~'# ", regex[1]) || strchr(meta, regex[1]))) {
            regex++;
        } else if (strchr(meta, *regex)) {
            break;
        }
        *at++ = *regex++;
    }
    *at = '\0';
    *prest = regex;
    return out;
}

/* A decoded expression as the cheapest condition. */
static devcache_ban_text_t cheapest(const char *regex, int anchored, apr_pool_t *p)
{
    devcache_ban_text_t t = {DEVCACHE_BAN_REGEX, regex};
    const char *end, *literal = literal_of(regex + (*regex == '^'), &end, p);
    int open = !strcmp(end, ".*") || !strcmp(end, ".*$");

    if (open && !*literal) {
        t.how = DEVCACHE_BAN_ANY;
    } else if ((anchored || *regex == '^') && (open || !*end || !strcmp(end, "$"))) {
        t.how = *end == '$' ? DEVCACHE_BAN_IS : DEVCACHE_BAN_PREFIX;
        t.text = literal;
    } else if (anchored) {
        t.text = apr_pstrcat(p, "^(?:", regex, ")", NULL);
    }
    return t;
}

devcache_ban_text_t devcache_pattern_regex(const char *regex, int anchored,
                                           devcache_pattern_from_e from, apr_pool_t *p)
{
    return cheapest(decoded_regex(regex, from, p), anchored, p);
}

devcache_ban_text_t devcache_pattern_host(const char *regex, apr_pool_t *p)
{
    devcache_ban_text_t t = devcache_pattern_regex(regex, 0, DEVCACHE_PATTERN_FIELD, p);

    /* As an expression always: "is" and "begins with" are not about letters' case. */
    if (t.how != DEVCACHE_BAN_ANY) {
        t.how = DEVCACHE_BAN_REGEX;
        t.text = apr_pstrcat(p, "(?i)", regex, NULL);
    }
    return t;
}

/* ---- wildcards ------------------------------------------------------------------- */

static apr_size_t count_stars(const char *s)
{
    apr_size_t n = 0;

    for (; *s; s++) {
        n += *s == '*';
    }
    return n;
}

const char *devcache_pattern_stars(const char *sent, const char *path, apr_pool_t *p)
{
    char *all = apr_palloc(p, strlen(sent) + 1), *at = all;
    apr_size_t want = count_stars(path), have;

    while (*sent) {
        int c = encoded_at(sent);

        if (c == '*' || *sent == '*') {
            *at++ = *sent == '*' ? '*' : '-';
        }
        sent += c >= 0 ? 3 : 1;
    }
    *at = '\0';
    have = (apr_size_t)(at - all);
    /* Fewer in the path: normalising has taken segments away. Which, matters only if
     * some asterisks are wildcards and some are not. */
    if (have < want || (have > want && strchr(all, '*') && strchr(all, '-'))) {
        return NULL;
    }
    return at - want;
}

devcache_ban_text_t devcache_pattern_wildcard(const char *path, const char *stars,
                                              const char *query, apr_pool_t *p)
{
    apr_size_t len = strlen(path) + (query ? strlen(query) + 1 : 0);
    char *regex = apr_palloc(p, len * 2 + 3), *at = regex;
    devcache_ban_text_t t = {DEVCACHE_BAN_REGEX, regex};
    const char *last = NULL; /* behind the last wildcard */

    *at++ = '^';
    for (; *path; path++) {
        if (*path == '*' && *stars++ == '*') {
            *at++ = '.';
            *at++ = '*';
            last = at;
        } else {
            at = put_literal(at, (unsigned char)*path);
        }
    }
    at = query ? put_literal(at, '?') : at;
    for (; query && *query; query++) {
        int c = encoded_at(query);

        if (*query == '*') {
            *at++ = '.';
            *at++ = '*';
            last = at;
        } else {
            at = put_literal(at, c >= 0 ? c : (unsigned char)*query);
            query += c >= 0 ? 2 : 0;
        }
    }
    *at = '\0';
    if (last == at && at - regex >= 5 && !memcmp(at - 4, "\\..*", 4)) {
        memcpy(at - 4, ".*", 3); /* "/news/.*" is meant as an expression */
        at -= 2;
    }
    if (last && *at == '\0' && at - regex >= 3 && !strcmp(at - 2, ".*")) {
        return cheapest(regex, 1, p);
    }
    memcpy(at, "$", 2);
    return t;
}
