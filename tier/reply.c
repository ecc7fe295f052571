/* SPDX-License-Identifier: Apache-2.0 */
#include "tier/reply.h"

#include <stdlib.h>
#include <string.h>

const redisReply *devcache_reply_member(const redisReply *r, size_t i, int type)
{
    return r && r->type == REDIS_REPLY_ARRAY && i < r->elements && r->element[i] &&
                   r->element[i]->type == type
               ? r->element[i]
               : NULL;
}

int devcache_reply_id(const redisReply *r, devcache_tier_id_t *id)
{
    char *end;

    if (!r || r->type != REDIS_REPLY_STRING || r->str[0] < '0' || r->str[0] > '9') {
        return 0;
    }
    id->ms = strtoull(r->str, &end, 10);
    if (*end != '-') {
        return 0;
    }
    id->seq = strtoull(end + 1, &end, 10);
    return *end == '\0';
}

devcache_slice_t devcache_reply_value(const redisReply *entry, devcache_tier_id_t *id)
{
    const redisReply *fields = devcache_reply_member(entry, 1, REDIS_REPLY_ARRAY);
    const redisReply *name = devcache_reply_member(fields, 0, REDIS_REPLY_STRING);
    const redisReply *value = devcache_reply_member(fields, 1, REDIS_REPLY_STRING);

    if (!devcache_reply_id(devcache_reply_member(entry, 0, REDIS_REPLY_STRING), id)) {
        id->ms = id->seq = 0;
    }
    return name && value && fields->elements == 2 && !strcmp(name->str, "d")
               ? devcache_slice(value->str, value->len)
               : devcache_slice(NULL, 0);
}

apr_time_t devcache_reply_clock(const redisReply *r)
{
    const redisReply *sec = devcache_reply_member(r, 0, REDIS_REPLY_STRING);
    const redisReply *usec = devcache_reply_member(r, 1, REDIS_REPLY_STRING);
    apr_uint64_t s = sec && usec ? strtoull(sec->str, NULL, 10) : 0;

    return s < ((apr_uint64_t)1 << 40)
               ? (apr_time_t)(s * APR_USEC_PER_SEC +
                              strtoull(s ? usec->str : "0", NULL, 10) % APR_USEC_PER_SEC)
               : 0;
}
