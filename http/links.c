/* SPDX-License-Identifier: Apache-2.0 */
#include "http/links.h"

#include <string.h>

#include <apr_strings.h>

#include "http/field.h"

/*
 * A link is "<URL>" and parameters, each behind a semicolon; commas stand between links,
 * and may stand in the URL and in quoted strings as well. What is not of that form is
 * passed over, up to the next comma.
 */

#define LINKS_MAX 16
#define BYTES_MAX 4096

static const char *const relations[] = {"preload", "modulepreload", "preconnect"};

/* The end of a link that begins at @a at: the comma behind it, or the end of the text. */
static const char *end_of(const char *at)
{
    int in_url = 0, quoted = 0;

    for (; *at && (in_url || quoted || *at != ','); at++) {
        if (quoted && *at == '\\' && at[1]) {
            at++;
        } else if (*at == '"' && !in_url) {
            quoted = !quoted;
        } else if (!quoted && (*at == '<' || *at == '>')) {
            in_url = *at == '<';
        }
    }
    return at;
}

/* Is one of these words among those of a "rel"? */
static int has_relation(const char *at, const char *end)
{
    apr_size_t i;

    while (at < end) {
        apr_size_t len = 0;

        at += strspn(at, " \t");
        while (at + len < end && at[len] != ' ' && at[len] != '\t') {
            len++;
        }
        for (i = 0; i < sizeof relations / sizeof *relations; i++) {
            if (devcache_field_is(devcache_slice(at, len), relations[i])) {
                return 1;
            }
        }
        at += len;
    }
    return 0;
}

/* The first "rel" counts (RFC 8288, section 3.3). */
static int is_early(const char *link, const char *end)
{
    const char *at = memchr(link, '>', (apr_size_t)(end - link));

    while (*link == '<' && at && (at = memchr(at, ';', (apr_size_t)(end - at)))) {
        const char *value, *stop;

        at++;
        at += strspn(at, " \t");
        if (end - at < 4 || strncasecmp(at, "rel", 3) || !strchr("= \t", at[3])) {
            continue;
        }
        value = at + 3 + strspn(at + 3, " \t");
        if (*value++ != '=') {
            continue;
        }
        value += strspn(value, " \t");
        if (*value == '"') {
            stop = strchr(++value, '"');
            return stop && stop < end && has_relation(value, stop);
        }
        stop = value + strcspn(value, ";, \t");
        return has_relation(value, stop < end ? stop : end);
    }
    return 0;
}

const char *devcache_links_early(const apr_table_t *fields, apr_pool_t *p)
{
    const char *all = NULL, *line;
    int index = 0, n = 0;

    while ((line = devcache_field_line(fields, "Link", &index)) != NULL) {
        while (*line && n < LINKS_MAX) {
            const char *link = line + strspn(line, " \t,"), *end = end_of(link);
            apr_size_t len = (apr_size_t)(end - link);

            if (len && is_early(link, end) && len + (all ? strlen(all) : 0) < BYTES_MAX) {
                all = apr_pstrcat(p, all ? all : "", all ? ", " : "",
                                  apr_pstrmemdup(p, link, len), NULL);
                n++;
            }
            line = end;
        }
    }
    return all;
}
