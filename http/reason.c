/* SPDX-License-Identifier: Apache-2.0 */
#include "http/reason.h"

static const struct {
    devcache_reason_kind_e kind;
    const char *text, *meaning, *advice;
} reasons[] = {
#define R(name, kind, text, meaning, advice)                                             \
    {DEVCACHE_REASON_KIND_##kind, text, meaning, advice},
    DEVCACHE_REASONS(R)
#undef R
};

static int is_reason(devcache_reason_e reason)
{
    return (unsigned)reason < DEVCACHE_REASON_COUNT;
}

const char *devcache_reason_text(devcache_reason_e reason)
{
    return is_reason(reason) ? reasons[reason].text : "-";
}

const char *devcache_reason_meaning(devcache_reason_e reason)
{
    return is_reason(reason) ? reasons[reason].meaning : "-";
}

const char *devcache_reason_advice(devcache_reason_e reason)
{
    return is_reason(reason) ? reasons[reason].advice : "";
}

devcache_reason_kind_e devcache_reason_kind(devcache_reason_e reason)
{
    return is_reason(reason) ? reasons[reason].kind : DEVCACHE_REASON_KIND_STORE;
}
