/* SPDX-License-Identifier: Apache-2.0 */
#include "http/fragments.h"

#include <string.h>

#include <apr_strings.h>

#include "http/directive.h"
#include "http/field.h"

/* ---- who may fill them ------------------------------------------------------------ */

static const char *skip_blanks(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\r' || *at == '\n')) {
        at++;
    }
    return at;
}

/* Behind the word, or NULL if it does not stand there. */
static const char *past(const char *at, const char *end, const char *word)
{
    apr_size_t len = strlen(word);

    return (apr_size_t)(end - at) >= len && !memcmp(at, word, len) ? at + len : NULL;
}

/* The languages in the value of content=. */
static unsigned languages(const char *at, const char *end)
{
    unsigned dialects = 0;

    while ((at = skip_blanks(at, end)) < end) {
        const char *word = at;

        while (at < end && *at != ' ' && *at != '\t') {
            at++;
        }
        if (at - word == 7) {
            dialects |= !memcmp(word, "SSI/1.0", 7)   ? DEVCACHE_SSI
                        : !memcmp(word, "ESI/1.0", 7) ? DEVCACHE_ESI
                                                      : 0;
        }
    }
    return dialects;
}

static unsigned read_member(devcache_slice_t member)
{
    static const char name[] = "content=\"";
    const char *at = member.data, *end = at + member.len, *value, *quote;
    apr_size_t len = sizeof name - 1;

    if (member.len < len || strncasecmp(at, name, len) != 0) {
        return 0;
    }
    value = at + len;
    if (!(quote = memchr(value, '"', (apr_size_t)(end - value)))) {
        return 0;
    }
    at = skip_blanks(quote + 1, end);
    if (at < end && *at == ';') { /* whom it is for */
        at = skip_blanks(at + 1, end);
        if (at < end && !((at = past(at, end, "devcache")) && at == end)) {
            return 0;
        }
    }
    return at == end ? languages(value, quote) : 0;
}

unsigned devcache_fragments_dialects(const apr_table_t *headers, apr_pool_t *p)
{
    const char *line = devcache_field_combined(headers, "Surrogate-Control", p);
    devcache_slice_t member;
    unsigned dialects = 0;

    while (line && devcache_field_next(&line, &member)) {
        dialects |= read_member(member);
    }
    return dialects;
}

/* ---- one element ------------------------------------------------------------------ */

typedef struct attribute_t {
    devcache_slice_t name, value;
} attribute_t;

/* Behind one more attribute, name="value" or name='value'; NULL: there is none. */
static const char *read_attribute(const char *at, const char *end, attribute_t *out)
{
    const char *name = at = skip_blanks(at, end), *value;

    while (at < end && devcache_field_tchar(*at)) {
        at++;
    }
    out->name = devcache_slice(name, (apr_size_t)(at - name));
    at = skip_blanks(at, end);
    if (!out->name.len || at == end || *at != '=') {
        return NULL;
    }
    at = skip_blanks(at + 1, end);
    if (at == end || (*at != '"' && *at != '\'')) {
        return NULL;
    }
    value = at + 1;
    if (!(at = memchr(value, *at, (apr_size_t)(end - value)))) {
        return NULL;
    }
    out->value = devcache_slice(value, (apr_size_t)(at - value));
    return at + 1;
}

static int is_named(const attribute_t *a, const char *name)
{
    return a->name.len == strlen(name) && !memcmp(a->name.data, name, a->name.len);
}

/* A URL as HTML writes it: the five entities of XML are taken away. "": it has bytes that
 * none has. */
static const char *read_url(devcache_slice_t text, apr_pool_t *p)
{
    static const struct {
        const char *entity, *is;
    } known[] = {
        {"&amp;", "&"}, {"&quot;", "\""}, {"&lt;", "<"}, {"&gt;", ">"}, {"&apos;", "'"}};
    char *url = apr_palloc(p, text.len + 1), *to = url;
    const char *at = text.data, *end = at + text.len;

    while (at < end) {
        unsigned i;

        for (i = 0; *at == '&' && i < sizeof known / sizeof *known; i++) {
            const char *behind = past(at, end, known[i].entity);

            if (behind) {
                *to++ = *known[i].is;
                at = behind;
                break;
            }
        }
        if (at < end && (*at != '&' || i == sizeof known / sizeof *known)) {
            if ((unsigned char)*at <= ' ' || *at == 0x7f) {
                return "";
            }
            *to++ = *at++;
        }
    }
    *to = '\0';
    return url;
}

/* <!--#include virtual="..." -->, or <!--# include. Behind it; NULL: it is none. */
static const char *read_ssi(const char *at, const char *end, devcache_fragment_t *out,
                            apr_pool_t *p)
{
    const char *next;
    attribute_t a;

    out->is_dispensable = 1; /* as with httpd and nginx: the rest of the page goes out */
    while ((next = read_attribute(at, end, &a))) {
        if (is_named(&a, "virtual") && !out->url) {
            out->url = read_url(a.value, p);
        } else if (is_named(&a, "onerror") && !out->alt) {
            out->alt = read_url(a.value, p);
        } else if (is_named(&a, "file")) {
            return NULL;
        }
        at = next;
    }
    return out->url ? past(skip_blanks(at, end), end, "-->") : NULL;
}

/* <esi:include src="..." alt="..." onerror="continue"/>, likewise. */
static const char *read_esi(const char *at, const char *end, devcache_fragment_t *out,
                            apr_pool_t *p)
{
    const char *next;
    attribute_t a;

    while ((next = read_attribute(at, end, &a))) {
        if (is_named(&a, "src")) {
            out->url = read_url(a.value, p);
        } else if (is_named(&a, "alt")) {
            out->alt = read_url(a.value, p);
        } else if (is_named(&a, "onerror")) {
            out->is_dispensable = a.value.len == 8 &&
                                  !memcmp(a.value.data, "continue", 8);
        }
        at = next;
    }
    at = skip_blanks(at, end);
    if (!out->url) {
        return NULL;
    }
    if ((next = past(at, end, "/>"))) {
        return next;
    }
    if ((at = past(at, end, ">"))) {
        next = past(skip_blanks(at, end), end, "</esi:include>");
    }
    return next ? next : at;
}

/* ---- the page --------------------------------------------------------------------- */

static const char *find(const char *at, const char *end, const char *word)
{
    apr_size_t len = strlen(word);

    for (; (apr_size_t)(end - at) >= len; at++) {
        at = memchr(at, *word, (apr_size_t)(end - at) - len + 1);
        if (!at) {
            return NULL;
        }
        if (!memcmp(at, word, len)) {
            return at;
        }
    }
    return NULL;
}

/* Behind <esi:remove>...</esi:remove>. One that never ends is text. */
static const char *skip_removed(devcache_fragments_t *page, const char *at,
                                const char *end)
{
    static const char closing[] = "</esi:remove>";

    if (page->never_removed) {
        return NULL;
    }
    if (!(at = find(at, end, closing))) {
        page->never_removed = 1;
        return NULL;
    }
    return at + sizeof closing - 1;
}

static const char *skip_comment(const char *at, const char *end)
{
    attribute_t a;
    const char *next;

    while ((next = read_attribute(at, end, &a))) {
        at = next;
    }
    at = skip_blanks(at, end);
    next = past(at, end, "/>");
    return next ? next : past(at, end, ">");
}

static int is_blank(const char *at, const char *end)
{
    return at < end && skip_blanks(at, at + 1) > at;
}

/* Behind the element that begins at @a at; NULL: there is none, it is text. */
static const char *read_element(devcache_fragments_t *page, const char *at,
                                const char *end, devcache_fragment_t *out, apr_pool_t *p)
{
    const char *near = end - at > DEVCACHE_FRAGMENTS_TAG_MAX
                           ? at + DEVCACHE_FRAGMENTS_TAG_MAX
                           : end;
    const char *in;

    if ((page->dialects & DEVCACHE_SSI) && (in = past(at, near, "<!--#")) &&
        (in = past(skip_blanks(in, near), near, "include")) && is_blank(in, near)) {
        return read_ssi(in, near, out, p);
    }
    if (!(page->dialects & DEVCACHE_ESI)) {
        return NULL;
    }
    if ((in = past(at, near, "<esi:include")) && is_blank(in, near)) {
        return read_esi(in, near, out, p);
    }
    if ((in = past(at, near, "<esi:remove>"))) {
        return skip_removed(page, in, end);
    }
    if ((in = past(at, near, "<esi:comment"))) {
        return skip_comment(in, near);
    }
    if (!page->in_comment && (in = past(at, near, "<!--esi")) && is_blank(in, near)) {
        page->in_comment = 1;
        return in;
    }
    if (page->in_comment && (in = past(at, near, "-->"))) {
        page->in_comment = 0;
        return in;
    }
    return NULL;
}

devcache_fragment_e devcache_fragments_next(devcache_fragments_t *page,
                                            devcache_fragment_t *out, apr_pool_t *p)
{
    const char *begin = page->rest.data, *end = begin + page->rest.len, *at;

    memset(out, 0, sizeof *out);
    for (at = begin; at < end; at++) {
        int was_in = page->in_comment;
        const char *behind;

        if (*at != '<' && !(page->in_comment && *at == '-')) {
            continue;
        }
        memset(out, 0, sizeof *out);
        if (!(behind = read_element(page, at, end, out, p))) {
            continue;
        }
        if (at > begin) { /* what stands before it first; then it is read again */
            page->in_comment = was_in;
            break;
        }
        page->rest = devcache_slice(behind, (apr_size_t)(end - behind));
        if (out->url) {
            return DEVCACHE_FRAGMENT_INCLUDE;
        }
        begin = behind;
        at = behind - 1;
    }
    memset(out, 0, sizeof *out);
    page->rest = devcache_slice(at, (apr_size_t)(end - at));
    out->text = devcache_slice(begin, (apr_size_t)(at - begin));
    return at > begin ? DEVCACHE_FRAGMENT_TEXT : DEVCACHE_FRAGMENT_END;
}

/* ---- what all of them say --------------------------------------------------------- */

/* Seconds until Expires; -1: it says nothing, 0: it is over. */
static apr_int64_t expires_in(const apr_table_t *headers, apr_time_t now)
{
    const char *value = devcache_field_single(headers, "Expires");
    apr_time_t then;

    if (!value) {
        return -1;
    }
    return devcache_field_date(value, now, &then) && then > now ? apr_time_sec(then - now)
                                                                : 0;
}

/* What is left of a lifetime; what is not stated is nothing. */
static apr_int64_t left_of(apr_int64_t lifetime, apr_int64_t age)
{
    return lifetime > age ? lifetime - (age > 0 ? age : 0) : 0;
}

void devcache_fragments_join(devcache_fragments_said_t *said, const apr_table_t *headers,
                             apr_time_t now, apr_pool_t *p)
{
    apr_int64_t age = devcache_field_age(headers), lifetime, shared;
    devcache_directives_t d;

    devcache_directive_cache_control(headers, &d, p);
    lifetime = d.max_age >= 0 ? left_of(d.max_age, age) : expires_in(headers, now);
    lifetime = lifetime < 0 ? 0 : lifetime;
    shared = d.s_maxage >= 0 ? left_of(d.s_maxage, age) : lifetime;

    said->max_age = said->any && said->max_age < lifetime ? said->max_age : lifetime;
    said->s_maxage = said->any && said->s_maxage < shared ? said->s_maxage : shared;
    said->is_public = d.is_public && (!said->any || said->is_public);
    said->is_shareable = (d.is_public || d.s_maxage >= 0 || d.must_revalidate) &&
                         (!said->any || said->is_shareable); /* RFC 9111 section 3.5 */
    said->no_store |= d.no_store || d.malformed;
    said->no_cache |= d.no_cache;
    said->is_private |= d.is_private ||
                        devcache_directive_forbidden_by(NULL, headers, now) != NULL;
    said->must_revalidate |= d.must_revalidate;
    said->proxy_revalidate |= d.proxy_revalidate;
    said->no_transform |= d.no_transform;
    said->any = 1;
}

const char *devcache_fragments_cache_control(const devcache_fragments_said_t *said,
                                             apr_pool_t *p)
{
    int for_one = said->is_private || said->no_store;
    const char *shared = said->s_maxage != said->max_age && !for_one
                             ? apr_psprintf(p, ", s-maxage=%" APR_INT64_T_FMT,
                                            said->s_maxage)
                             : "";

    return apr_psprintf(p, "%s%s%smax-age=%" APR_INT64_T_FMT "%s%s%s%s",
                        for_one           ? "private, "
                        : said->is_public ? "public, "
                                          : "",
                        said->no_store ? "no-store, " : "",
                        said->no_cache ? "no-cache, " : "", said->max_age, shared,
                        said->must_revalidate ? ", must-revalidate" : "",
                        said->proxy_revalidate ? ", proxy-revalidate" : "",
                        said->no_transform ? ", no-transform" : "");
}
