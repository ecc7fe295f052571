/* SPDX-License-Identifier: Apache-2.0 */
#include "http/weights.h"

#include "http/field.h"

/* One parameter, without the blanks around it. */
static void read_parameter(devcache_slice_t parameter, int *said,
                           devcache_weighted_t *out)
{
    if (parameter.len < 2 || (parameter.data[0] | 0x20) != 'q' ||
        parameter.data[1] != '=') {
        out->has_parameters = 1;
        return;
    }
    out->weight = (*said)++ ? -1
                            : devcache_field_qvalue(
                                  devcache_slice(parameter.data + 2, parameter.len - 2));
}

int devcache_weights_next(const char **cursor, devcache_weighted_t *out)
{
    devcache_slice_t member;
    const char *at, *end, *semicolon;
    int said = 0;

    if (!devcache_field_next(cursor, &member)) {
        return 0;
    }
    end = member.data + member.len;
    semicolon = memchr(member.data, ';', member.len);
    at = semicolon ? semicolon : end;
    out->name = devcache_field_trim(
        devcache_slice(member.data, (apr_size_t)(at - member.data)));
    out->weight = 1000;
    out->has_parameters = 0;
    while (semicolon) {
        at = semicolon + 1;
        semicolon = memchr(at, ';', (apr_size_t)(end - at));
        read_parameter(devcache_field_trim(devcache_slice(
                           at, (apr_size_t)((semicolon ? semicolon : end) - at))),
                       &said, out);
    }
    return 1;
}

/* --- canonical ----------------------------------------------------------------- */

#define WEIGHTED_MAX 64  /* members; a longer list is compared as it stands */
#define WEIGHTED_MORE 10 /* bytes of a member besides its name: ", " and ";q=0.123" */

/* Does a stand before b? */
static int precedes(const devcache_weighted_t *a, const devcache_weighted_t *b)
{
    apr_size_t len = a->name.len < b->name.len ? a->name.len : b->name.len;
    int order;

    if (a->weight != b->weight) {
        return a->weight > b->weight;
    }
    order = memcmp(a->name.data, b->name.data, len);
    return order ? order < 0 : a->name.len < b->name.len;
}

/* Put into its place. 1 added or there already; 0 no room, or there with another weight.
 */
static int add_weighted(devcache_weighted_t *list, int *count, devcache_weighted_t item)
{
    int i;

    for (i = 0; i < *count; i++) {
        if (devcache_slice_eq(list[i].name, item.name)) {
            return list[i].weight == item.weight;
        }
    }
    if (*count == WEIGHTED_MAX) {
        return 0;
    }
    for (i = (*count)++; i > 0 && precedes(&item, &list[i - 1]); i--) {
        list[i] = list[i - 1];
    }
    list[i] = item;
    return 1;
}

static char *put_weight(char *out, int weight)
{
    *out++ = ';';
    *out++ = 'q';
    *out++ = '=';
    *out++ = '0';
    if (weight) {
        *out++ = '.';
        *out++ = (char)('0' + weight / 100);
        *out++ = (char)('0' + weight / 10 % 10);
        *out++ = (char)('0' + weight % 10);
    }
    return out;
}

static const char *weighted_text(const devcache_weighted_t *list, int count,
                                 apr_pool_t *p)
{
    apr_size_t bytes = 1;
    char *text, *out;
    int i;

    for (i = 0; i < count; i++) {
        bytes += list[i].name.len + WEIGHTED_MORE;
    }
    text = out = apr_palloc(p, bytes);
    for (i = 0; i < count; i++) {
        if (i) {
            *out++ = ',';
            *out++ = ' ';
        }
        memcpy(out, list[i].name.data, list[i].name.len);
        out += list[i].name.len;
        if (list[i].weight < 1000) {
            out = put_weight(out, list[i].weight);
        }
    }
    *out = '\0';
    return text;
}

const char *devcache_weights_canonical(const char *value,
                                       devcache_slice_t (*alias)(devcache_slice_t),
                                       apr_pool_t *p)
{
    devcache_weighted_t list[WEIGHTED_MAX], item;
    const char *cursor;
    int count = 0;

    if (!value) {
        return NULL;
    }
    cursor = devcache_field_lower(value, strlen(value), p);
    while (devcache_weights_next(&cursor, &item)) {
        if (item.weight < 0 || item.has_parameters ||
            !devcache_field_is_token(item.name)) {
            return value;
        }
        item.name = alias ? alias(item.name) : item.name;
        if (!add_weighted(list, &count, item)) {
            return value;
        }
    }
    return weighted_text(list, count, p);
}
