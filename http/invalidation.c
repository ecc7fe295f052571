/* SPDX-License-Identifier: Apache-2.0 */
#include "http/policy.h"

#include <apr_lib.h>
#include <apr_strings.h>

#include "http/field.h"

/*
 * What an answer to an unsafe request makes invalid (RFC 9111 section 4.4): the request's
 * own URL always, and what Location and Content-Location name if that is of the same
 * origin. Another origin's copies are not this one's to remove.
 *
 * References are resolved as RFC 3986 section 5 has it, over slices of the text. What is
 * not plainly a reference (controls, spaces, backslashes, escapes in the host, user
 * information, more than REFERENCE_MAX bytes) removes nothing.
 */

#define REFERENCE_MAX 8192

int devcache_policy_invalidates(const char *method, int status)
{
    /* Those that the registry calls safe; an unknown one counts as unsafe. */
    static const char *const safe[] = {"GET",      "HEAD",   "OPTIONS", "TRACE",
                                       "PROPFIND", "REPORT", "SEARCH",  "QUERY"};
    apr_size_t i;

    for (i = 0; i < sizeof(safe) / sizeof(*safe); i++) {
        if (strcmp(method, safe[i]) == 0) {
            return 0;
        }
    }
    return status >= 200 && status < 400;
}

/* --- origins ------------------------------------------------------------------------ */

typedef struct {
    devcache_slice_t scheme;
    devcache_slice_t host; /* without port, an IPv6 address with its brackets */
    long port;             /* the scheme's default if not given */
} origin_t;

static int equal_fold(devcache_slice_t a, devcache_slice_t b)
{
    return a.len == b.len && strncasecmp(a.data, b.data, a.len) == 0;
}

static long default_port(devcache_slice_t scheme)
{
    return devcache_field_is(scheme, "https")  ? 443
           : devcache_field_is(scheme, "http") ? 80
                                               : -1;
}

static int is_host(devcache_slice_t host)
{
    apr_size_t i;

    for (i = 0; i < host.len; i++) {
        char c = host.data[i];
        if (!apr_isalnum(c) && !(c && strchr("-._[]:", c))) {
            return 0;
        }
    }
    return host.len > 0;
}

/* host [":" port]; 0 if it is anything else, user information included. */
static int parse_authority(devcache_slice_t text, origin_t *out)
{
    apr_size_t end = text.len;
    apr_int64_t port;

    while (end && apr_isdigit(text.data[end - 1])) {
        end--;
    }
    out->host = text;
    out->port = default_port(out->scheme);
    if (end && text.data[end - 1] == ':') {
        out->host.len = end - 1;
        if (end < text.len) {
            port = devcache_field_delta(devcache_slice(text.data + end, text.len - end));
            out->port = port <= 65535 ? (long)port : -1;
        }
    }
    if (out->host.len && out->host.data[0] == '[') {
        if (out->host.data[out->host.len - 1] != ']') {
            return 0;
        }
    } else if (memchr(out->host.data, ':', out->host.len)) {
        return 0;
    }
    return is_host(out->host) && out->port >= 0;
}

static int same_origin(const origin_t *a, const origin_t *b)
{
    return equal_fold(a->scheme, b->scheme) && equal_fold(a->host, b->host) &&
           a->port == b->port;
}

/* --- references --------------------------------------------------------------------- */

/* scheme ":" at the start of a reference; its length, 0 if there is none. */
static apr_size_t scheme_length(const char *reference)
{
    apr_size_t len = 0;

    if (!apr_isalpha(reference[0])) {
        return 0;
    }
    while (apr_isalnum(reference[len]) ||
           (reference[len] && strchr("+-.", reference[len]))) {
        len++;
    }
    return reference[len] == ':' ? len : 0;
}

static devcache_slice_t until(const char *begin, const char *stops)
{
    return devcache_slice(begin, strcspn(begin, stops));
}

static int is_plain(const char *reference)
{
    apr_size_t len;

    for (len = 0; reference[len]; len++) {
        unsigned char c = (unsigned char)reference[len];
        if (len >= REFERENCE_MAX || c <= ' ' || c == 0x7f || c == '\\') {
            return 0;
        }
    }
    return 1;
}

/* RFC 3986 section 5.2.4, in place: @a path begins with '/' and so does the result. */
static void remove_dot_segments(char *path)
{
    char *in = path, *out = path;

    while (*in) {
        apr_size_t len = 1 + strcspn(in + 1, "/"); /* "/" and a segment */
        if (len == 2 && in[1] == '.') {
            in += len;
            if (!*in) {
                *out++ = '/';
            }
        } else if (len == 3 && in[1] == '.' && in[2] == '.') {
            in += len;
            while (out > path && *--out != '/') {
            }
            if (!*in) {
                *out++ = '/';
            }
        } else {
            memmove(out, in, len);
            out += len;
            in += len;
        }
    }
    *out = '\0';
}

/* RFC 3986 section 5.2.3: the reference's path in the folder of the base's. */
static char *merge_paths(devcache_slice_t base, devcache_slice_t path, apr_pool_t *p)
{
    while (base.len && base.data[base.len - 1] != '/') {
        base.len--;
    }
    return apr_pstrcat(p, base.len ? apr_pstrmemdup(p, base.data, base.len) : "/",
                       apr_pstrmemdup(p, path.data, path.len), NULL);
}

/* The path and query of a reference that has no authority of its own, or an absolute
 * path behind one. */
static const char *resolve_path(const char *reference, const char *base_path,
                                int has_authority, apr_pool_t *p)
{
    devcache_slice_t base = until(base_path, "?#");
    devcache_slice_t path = until(reference, "?#");
    const char *query = reference + path.len;
    char *result;

    if (has_authority || path.data[0] == '/') {
        result = path.len ? apr_pstrmemdup(p, path.data, path.len) : apr_pstrdup(p, "/");
    } else if (path.len) {
        result = merge_paths(base, path, p);
    } else {
        result = apr_pstrmemdup(p, base.data, base.len);
        query = *query == '?' ? query : base_path + base.len;
    }
    if (result[0] != '/') {
        return NULL;
    }
    remove_dot_segments(result);
    if (*query != '?') {
        return result;
    }
    return apr_pstrcat(p, result, apr_pstrmemdup(p, query, strcspn(query, "#")), NULL);
}

const char *devcache_policy_same_origin(const char *origin, const char *base_path,
                                        const char *reference, apr_pool_t *p)
{
    origin_t ours, theirs;
    apr_size_t scheme = scheme_length(reference);
    const char *rest = reference + (scheme ? scheme + 1 : 0);
    devcache_slice_t authority;

    if (!is_plain(reference)) {
        return NULL;
    }
    if (strncmp(rest, "//", 2) != 0) {
        return scheme ? NULL : resolve_path(rest, base_path, 0, p);
    }
    ours.scheme = devcache_slice(origin, scheme_length(origin));
    if (strncmp(origin + ours.scheme.len, "://", 3) != 0 ||
        !parse_authority(devcache_slice_str(origin + ours.scheme.len + 3), &ours)) {
        return NULL;
    }
    theirs.scheme = scheme ? devcache_slice(reference, scheme) : ours.scheme;
    authority = until(rest + 2, "/?#");
    if (!parse_authority(authority, &theirs) || !same_origin(&ours, &theirs)) {
        return NULL;
    }
    return resolve_path(authority.data + authority.len, base_path, 1, p);
}
