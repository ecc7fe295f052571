#include "devcache_normal.h"

#include <strings.h>
#include "devcache_field.h"

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

/* The weight of a member in thousandths, 0 if that is malformed; *name: what it is of. */
static int weight_of(devcache_slice_t member, devcache_slice_t *name)
{
    const char *at = member.data, *end = member.data + member.len;
    const char *semicolon = memchr(at, ';', member.len);
    int weight = 1000;

    *name = devcache_field_trim(
        devcache_slice(at, (apr_size_t)((semicolon ? semicolon : end) - at)));
    while (semicolon) {
        devcache_slice_t param;

        at = semicolon + 1;
        semicolon = memchr(at, ';', (apr_size_t)(end - at));
        param = devcache_field_trim(
            devcache_slice(at, (apr_size_t)((semicolon ? semicolon : end) - at)));
        if (param.len >= 2 && (param.data[0] | 0x20) == 'q' && param.data[1] == '=') {
            weight = devcache_field_qvalue(devcache_slice(param.data + 2, param.len - 2));
        }
    }
    return weight > 0 ? weight : 0;
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
    devcache_slice_t member, name;
    int best = -1, best_weight = 0, count = 0;

    while (devcache_field_next(&value, &member)) {
        int weight = weight_of(member, &name);
        int i = weight ? listed_as(n, name) : -1;

        if (++count > MEMBERS_MAX) {
            return NULL;
        }
        if (i >= 0 && (weight > best_weight || (weight == best_weight && i < best))) {
            best = i;
            best_weight = weight;
        }
    }
    return best < 0 ? NULL : APR_ARRAY_IDX(n->values, best, const char *);
}
