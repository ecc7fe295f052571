/* SPDX-License-Identifier: Apache-2.0 */
#include "http/normal.h"

#include <strings.h>
#include "http/weights.h"

#define MEMBERS_MAX 64 /* a longer list asks for nothing */

static const struct {
    const char *header, *why;
} refused[] = {
    {"Accept-Encoding", "is always normalised where a response varies by it"},
    {"User-Agent", "is what the device class is for"},
    {"Cookie", "is the visitor's own; see DevCacheBypass"},
    {"Authorization", "says who the visitor is"},
    {"Proxy-Authorization", "says who the visitor is"},
    {"Host", "is a part of every key"},
    {"Range", "is about the message, not about the page"},
    {"Cache-Control", "is about the message, not about the page"},
    {"Pragma", "is about the message, not about the page"},
    {"Connection", "is about the message, not about the page"},
    {"Transfer-Encoding", "is about the message, not about the page"},
    {"TE", "is about the message, not about the page"},
    {"Trailer", "is about the message, not about the page"},
    {"Upgrade", "is about the message, not about the page"},
    {"Expect", "is about the message, not about the page"},
    {"Via", "is about the message, not about the page"},
};

const char *devcache_normal_refuses(const char *header)
{
    apr_size_t i;

    for (i = 0; i < sizeof refused / sizeof *refused; i++) {
        if (!strcasecmp(header, refused[i].header)) {
            return refused[i].why;
        }
    }
    return !strncasecmp(header, "If-", 3) || !strncasecmp(header, "Content-", 8)
               ? "is about the message, not about the page"
               : NULL;
}

/* Which of the values a name stands for; -1: none. */
static int listed_as(const devcache_normal_t *n, devcache_slice_t name)
{
    int is_language = !strcasecmp(n->header, "Accept-Language"), found = -1, i;
    apr_size_t longest = 0;

    for (i = 0; i < n->values->nelts; i++) {
        const char *value = APR_ARRAY_IDX(n->values, i, const char *);
        apr_size_t len = strlen(value);

        if (len > name.len || strncasecmp(value, name.data, len) != 0) {
            continue;
        }
        if (len == name.len) {
            return i;
        }
        if (is_language && name.data[len] == '-' && len > longest) {
            found = i;
            longest = len;
        }
    }
    return found;
}

const char *devcache_normal_value(const devcache_normal_t *n, const char *value)
{
    devcache_weighted_t member;
    int best = -1, best_weight = 0, count = 0;

    while (devcache_weights_next(&value, &member)) {
        int i = member.weight > 0 ? listed_as(n, member.name) : -1;

        if (++count > MEMBERS_MAX) {
            return NULL;
        }
        if (i >= 0 &&
            (member.weight > best_weight || (member.weight == best_weight && i < best))) {
            best = i;
            best_weight = member.weight;
        }
    }
    return best < 0 ? NULL : APR_ARRAY_IDX(n->values, best, const char *);
}
